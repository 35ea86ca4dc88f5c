"""Settings of the queues: the connection as the host reads it, and names that cannot raise."""

import pytest

from shared.errors import NotConfiguredError
from shared.settings import MessagingSettings, input_queues
from tests.secret_factory import service_bus, symmetric_key

NAMESPACE = "my-namespace.servicebus.windows.net"


def test_a_namespace_is_enough():
    """With an identity only the host of the namespace is needed; all else has a default."""
    settings = MessagingSettings.read({"ServiceBus__fullyQualifiedNamespace": NAMESPACE})

    assert settings.service_bus_namespace == NAMESPACE
    assert settings.input_queues == ("enrollment-requests", "bulk-operations")
    assert settings.enrollment_results_queue is None


@pytest.mark.parametrize(
    "place",
    [
        "ConnectionStrings__ServiceBus",
        "ConnectionStrings__AzureWebJobsServiceBus",
        "AzureWebJobsServiceBus",
    ],
)
def test_connection_is_read_where_the_host_reads_it(place: str):
    """What feeds the triggers is what the results go to."""
    settings = MessagingSettings.read({f"{place}__fullyQualifiedNamespace": NAMESPACE})
    shadowed = MessagingSettings.read(
        {
            "AzureWebJobsServiceBus": service_bus(NAMESPACE),
            "ServiceBus__fullyQualifiedNamespace": NAMESPACE,
        }
    )

    assert settings.service_bus_namespace == NAMESPACE
    assert (shadowed.service_bus_namespace, shadowed.service_bus) == (NAMESPACE, None)


def test_no_namespace_is_a_fault():
    """Without a namespace there are no queues, and the fault names both ways to one."""
    with pytest.raises(NotConfiguredError) as raised:
        MessagingSettings.read({})

    assert list(raised.value.faults) == ["ServiceBus, ServiceBus__fullyQualifiedNamespace"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("nonsense", "has no Endpoint"),
        (f"Endpoint=sb://{NAMESPACE}", "lacks SharedAccessKeyName and SharedAccessKey"),
    ],
)
def test_connection_string_says_what_it_lacks(value, words):
    """A connection string that is none is refused with what is missing."""
    with pytest.raises(NotConfiguredError) as raised:
        MessagingSettings.read({"ServiceBus": value})

    assert words in raised.value.faults["ServiceBus"]


def test_every_fault_is_named_at_once():
    """Faults of several settings come in one error."""
    with pytest.raises(NotConfiguredError) as raised:
        MessagingSettings.read({"BULK_CONCURRENCY": "0", "ServiceBus__credential": "guess"})

    assert set(raised.value.faults) == {
        "ServiceBus, ServiceBus__fullyQualifiedNamespace",
        "ServiceBus__credential",
        "BULK_CONCURRENCY",
    }


def test_no_secret_is_shown():
    """Neither the print of the settings nor a fault in them shows the key."""
    key = symmetric_key()
    good = service_bus(NAMESPACE, key=key)
    settings = MessagingSettings.read({"ServiceBus": good})

    with pytest.raises(NotConfiguredError) as raised:
        MessagingSettings.read({"ServiceBus": good.replace("sb://", "amqp://")})

    assert key not in f"{settings!r} {settings} {raised.value!r} {raised.value.faults}"


@pytest.mark.parametrize(("value", "name"), [("", "bulk-operations"), (" many ", "many")])
def test_queues_of_the_triggers_are_what_the_settings_say(monkeypatch, value, name):
    """The decorators get the names without anything being validated."""
    monkeypatch.setenv("BULK_OPERATIONS_QUEUE", value)

    assert input_queues().bulk_operations == name


def test_sound_settings_are_read_beside_wrong_ones(monkeypatch):
    """What is wrong has its default until it is mended, and is named."""
    monkeypatch.setenv("ServiceBus__fullyQualifiedNamespace", NAMESPACE)
    monkeypatch.setenv("MESSAGE_BUDGET_SECONDS", "soon")
    monkeypatch.setenv("ENROLLMENT_RESULTS_QUEUE", "told")

    settings, fault = MessagingSettings.read_sound()

    assert (settings.message_budget_seconds, settings.enrollment_results_queue) == (60, "told")
    assert fault is not None
    assert list(fault.faults) == ["MESSAGE_BUDGET_SECONDS"]


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"ENROLLMENT_REQUESTS_QUEUE": "Bulk-Operations"}, {"ENROLLMENT_REQUESTS_QUEUE"}),
        ({"ENROLLMENT_RESULTS_QUEUE": "enrollment-requests"}, {"ENROLLMENT_RESULTS_QUEUE"}),
        ({"ENROLLMENT_REJECTED_QUEUE": "enrollment-requests"}, {"ENROLLMENT_REJECTED_QUEUE"}),
        (
            {"ENROLLMENT_RESULTS_QUEUE": "out", "ENROLLMENT_REJECTED_QUEUE": " OUT "},
            {"ENROLLMENT_RESULTS_QUEUE", "ENROLLMENT_REJECTED_QUEUE"},
        ),
    ],
)
def test_one_queue_has_one_purpose(given, wrong):
    """What the app sends must not come back to it as a request; names of queues have no case."""
    with pytest.raises(NotConfiguredError) as raised:
        MessagingSettings.read({"ServiceBus__fullyQualifiedNamespace": NAMESPACE, **given})

    assert set(raised.value.faults) == wrong


def test_queues_may_be_exchanged():
    """It is their names as they are set that must differ, not those they would have unset."""
    settings = MessagingSettings.read(
        {
            "ServiceBus__fullyQualifiedNamespace": NAMESPACE,
            "ENROLLMENT_REQUESTS_QUEUE": "bulk-operations",
            "BULK_OPERATIONS_QUEUE": "enrollment-requests",
        }
    )

    assert settings.input_queues == ("bulk-operations", "enrollment-requests")


def test_spaces_around_a_setting_are_none_of_it():
    """The triggers drop them from the names of their queues, so what the app sends to must too."""
    settings = MessagingSettings.read(
        {
            "ServiceBus": f" {service_bus(NAMESPACE)}\n",
            "ENROLLMENT_REQUESTS_QUEUE": " in ",
            "ENROLLMENT_REJECTED_QUEUE": "kept ",
        }
    )

    assert settings.enrollment_requests_queue == "in"
    assert settings.enrollment_rejected_queue == "kept"


def test_parts_of_a_connection_string_are_named_in_any_case():
    """As the host and the SDK take them: what they can use must not be refused here."""
    text = service_bus(NAMESPACE)
    for name in ("Endpoint", "SharedAccessKeyName", "SharedAccessKey="):
        text = text.replace(name, f" {name.lower()}")

    settings = MessagingSettings.read({"ServiceBus": text})

    assert settings.service_bus is not None
