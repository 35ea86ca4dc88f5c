"""Settings for Service Bus: the connection as the host reads it, and the queues."""

import pytest

from shared.errors import NotConfiguredError
from shared.settings import ServiceBusSettings, input_queues
from tests.secret_factory import service_bus, symmetric_key

NAMESPACE = "my-namespace.servicebus.windows.net"


def test_names_of_the_settings_are_fixed() -> None:
    """Literal, because deployments set them: renaming a field must not rename a setting."""
    assert list(ServiceBusSettings.fields()) == [
        "ServiceBus",
        "ServiceBus__fullyQualifiedNamespace",
        "ServiceBus__credential",
        "ServiceBus__clientId",
        "ServiceBus__managedIdentityResourceId",
        "ServiceBus__tenantId",
        "ServiceBus__clientSecret",
        "ENROLLMENT_REQUESTS_QUEUE",
        "BULK_OPERATIONS_QUEUE",
        "ENROLLMENT_RESULTS_QUEUE",
        "ENROLLMENT_REJECTED_QUEUE",
        "ENROLLMENT_REPLY_QUEUES",
        "BULK_CONCURRENCY",
        "MESSAGE_BUDGET_SECONDS",
        "MESSAGE_MAX_ATTEMPTS",
    ]


def test_only_the_namespace_is_required() -> None:
    """With Microsoft Entra only the host name is required; all else has a default."""
    settings = ServiceBusSettings.read({"ServiceBus__fullyQualifiedNamespace": NAMESPACE})

    assert settings.service_bus_namespace == NAMESPACE
    assert settings.input_queues == ("enrollment-requests", "bulk-operations")
    assert settings.enrollment_results_queue is None


@pytest.mark.parametrize(
    "prefix",
    [
        "ConnectionStrings__ServiceBus",
        "ConnectionStrings__AzureWebJobsServiceBus",
        "AzureWebJobsServiceBus",
    ],
)
def test_connection_is_read_from_the_same_variables_as_by_the_host(prefix: str) -> None:
    """Results are sent to the namespace whose queues trigger the functions."""
    settings = ServiceBusSettings.read({f"{prefix}__fullyQualifiedNamespace": NAMESPACE})
    shadowed = ServiceBusSettings.read(
        {
            "AzureWebJobsServiceBus": service_bus(NAMESPACE),
            "ServiceBus__fullyQualifiedNamespace": NAMESPACE,
        }
    )

    assert settings.service_bus_namespace == NAMESPACE
    assert (shadowed.service_bus_namespace, shadowed.service_bus) == (NAMESPACE, None)


def test_missing_namespace_is_a_fault() -> None:
    """The fault names both settings that can have the namespace."""
    with pytest.raises(NotConfiguredError) as raised:
        ServiceBusSettings.read({})

    assert list(raised.value.faults) == ["ServiceBus, ServiceBus__fullyQualifiedNamespace"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("nonsense", "must have Endpoint=sb://…"),
        (f"Endpoint=sb://{NAMESPACE}", "must have SharedAccessKeyName and SharedAccessKey"),
    ],
)
def test_fault_of_a_connection_string_says_what_is_missing(value: str, message: str) -> None:
    """The fault names the missing parts."""
    with pytest.raises(NotConfiguredError) as raised:
        ServiceBusSettings.read({"ServiceBus": value})

    assert message in raised.value.faults["ServiceBus"]


def test_all_faults_are_reported_together() -> None:
    """One error has the faults of all settings."""
    with pytest.raises(NotConfiguredError) as raised:
        ServiceBusSettings.read({"BULK_CONCURRENCY": "0", "ServiceBus__credential": "guess"})

    assert set(raised.value.faults) == {
        "ServiceBus, ServiceBus__fullyQualifiedNamespace",
        "ServiceBus__credential",
        "BULK_CONCURRENCY",
    }


def test_identity_has_one_id() -> None:
    """A client id or a resource id, as in the Functions host."""
    ids = {"ServiceBus__clientId": "c", "ServiceBus__managedIdentityResourceId": "r"}
    namespace = {"ServiceBus__fullyQualifiedNamespace": NAMESPACE}
    for name, value in ids.items():
        ServiceBusSettings.read({**namespace, name: value})

    with pytest.raises(NotConfiguredError) as raised:
        ServiceBusSettings.read({**namespace, **ids})

    assert list(raised.value.faults) == ["ServiceBus__managedIdentityResourceId"]


def test_text_of_settings_and_faults_has_no_secret() -> None:
    """Neither the settings nor a fault contain the key."""
    key = symmetric_key()
    valid = service_bus(NAMESPACE, key=key)
    settings = ServiceBusSettings.read({"ServiceBus": valid})

    with pytest.raises(NotConfiguredError) as raised:
        ServiceBusSettings.read({"ServiceBus": valid.replace("sb://", "amqp://")})

    assert key not in f"{settings!r} {settings} {raised.value!r} {raised.value.faults}"


@pytest.mark.parametrize(("value", "name"), [("", "bulk-operations"), (" many ", "many")])
def test_queues_of_the_triggers(monkeypatch: pytest.MonkeyPatch, value: str, name: str) -> None:
    """The queue names for the decorators are read without validation."""
    monkeypatch.setenv("BULK_OPERATIONS_QUEUE", value)

    assert input_queues().bulk_operations == name


def test_invalid_settings_have_their_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """`read_with_defaults` replaces invalid settings, and returns the error that names them."""
    monkeypatch.setenv("ServiceBus__fullyQualifiedNamespace", NAMESPACE)
    monkeypatch.setenv("MESSAGE_BUDGET_SECONDS", "soon")
    monkeypatch.setenv("ENROLLMENT_RESULTS_QUEUE", "results")

    settings, fault = ServiceBusSettings.read_with_defaults()

    assert (settings.message_budget_seconds, settings.enrollment_results_queue) == (60, "results")
    assert fault is not None
    assert list(fault.faults) == ["MESSAGE_BUDGET_SECONDS"]


@pytest.mark.parametrize(
    ("environment", "invalid"),
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
def test_queues_must_be_distinct(environment: dict[str, str], invalid: set[str]) -> None:
    """Otherwise the app would receive its own messages; queue names are case-insensitive."""
    with pytest.raises(NotConfiguredError) as raised:
        ServiceBusSettings.read({"ServiceBus__fullyQualifiedNamespace": NAMESPACE, **environment})

    assert set(raised.value.faults) == invalid


def test_default_names_of_two_queues_may_be_swapped() -> None:
    """Only the effective names must be distinct."""
    settings = ServiceBusSettings.read(
        {
            "ServiceBus__fullyQualifiedNamespace": NAMESPACE,
            "ENROLLMENT_REQUESTS_QUEUE": "bulk-operations",
            "BULK_OPERATIONS_QUEUE": "enrollment-requests",
        }
    )

    assert settings.input_queues == ("bulk-operations", "enrollment-requests")


def test_surrounding_spaces_are_removed() -> None:
    """Values are stripped, like the queue names of the triggers."""
    settings = ServiceBusSettings.read(
        {
            "ServiceBus": f" {service_bus(NAMESPACE)}\n",
            "ENROLLMENT_REQUESTS_QUEUE": " in ",
            "ENROLLMENT_REJECTED_QUEUE": "rejected ",
        }
    )

    assert settings.enrollment_requests_queue == "in"
    assert settings.enrollment_rejected_queue == "rejected"


def test_names_in_a_connection_string_are_case_insensitive() -> None:
    """The host and the SDK ignore the case of the names too."""
    text = service_bus(NAMESPACE)
    for name in ("Endpoint", "SharedAccessKeyName", "SharedAccessKey="):
        text = text.replace(name, f" {name.lower()}")

    settings = ServiceBusSettings.read({"ServiceBus": text})

    assert settings.service_bus is not None
