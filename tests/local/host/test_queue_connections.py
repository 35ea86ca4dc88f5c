"""Which namespace the `connection` of a trigger means, and who signs in there."""

import pytest

from local.host.queues.connections import Connection
from local.host.queues.errors import NotFedError

KEY = "c2VjcmV0LW9mLWEtbmFtZXNwYWNl"
STRING = f"Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=name;SharedAccessKey={KEY}"
NAMESPACE = "my-namespace.servicebus.windows.net"


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        pytest.param("ServiceBus", "ServiceBus", id="name"),
        pytest.param("ServiceBus", "SERVICEBUS", id="without-case"),
        pytest.param("ServiceBus", "AzureWebJobsServiceBus", id="prefix"),
        pytest.param("ServiceBus", "ConnectionStrings__ServiceBus", id="connection-strings"),
        pytest.param("", "ServiceBus", id="default"),
        pytest.param("", "AzureWebJobsServiceBus", id="default-with-prefix"),
        pytest.param("Orders", "Orders", id="another-name"),
    ],
)
def test_connection_string_is_found(monkeypatch, name, setting):
    """A connection is looked for where Azure's host looks for it."""
    monkeypatch.setenv(setting, STRING)

    assert Connection.of(name).members == {"": STRING}


def test_plain_name_wins_over_the_prefix(monkeypatch):
    """`ServiceBus` is taken before `AzureWebJobsServiceBus`."""
    monkeypatch.setenv("AzureWebJobsServiceBus", "another")
    monkeypatch.setenv("ServiceBus", STRING)

    assert Connection.of("ServiceBus").setting == "ServiceBus"


@pytest.mark.parametrize(
    ("members", "credential"),
    [
        pytest.param({}, "DefaultAzureCredential", id="default"),
        pytest.param({"clientId": "c"}, "DefaultAzureCredential", id="default-with-client-id"),
        pytest.param(
            {"credential": "managedidentity"}, "ManagedIdentityCredential", id="managed-identity"
        ),
        pytest.param(
            {"credential": "ManagedIdentity", "clientId": "c"},
            "ManagedIdentityCredential",
            id="user-assigned-identity",
        ),
        pytest.param(
            {"tenantId": "t", "clientId": "c", "clientSecret": "s"},
            "ClientSecretCredential",
            id="client-secret",
        ),
    ],
)
async def test_identity_is_that_of_the_settings(monkeypatch, members, credential):
    """With a namespace instead of a connection string the members say who signs in."""
    monkeypatch.setenv("ServiceBus__fullyQualifiedNamespace", NAMESPACE)
    for name, value in members.items():
        monkeypatch.setenv(f"ServiceBus__{name}", value)

    connection = Connection.of("ServiceBus")

    async with connection.credential() as made:
        assert type(made).__name__ == credential
    assert connection.namespace == NAMESPACE


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        pytest.param(
            {}, "neither ServiceBus nor ServiceBus__fullyQualifiedNamespace is set", id="missing"
        ),
        pytest.param(
            {"ServiceBus__credential": "managedidentity"},
            "ServiceBus has neither a connection string nor a fullyQualifiedNamespace",
            id="no-namespace",
        ),
        pytest.param(
            {"ServiceBus": f"SharedAccessKey={KEY}"},
            "ServiceBus is no connection string of Service Bus",
            id="unreadable",
        ),
        pytest.param(
            {"ServiceBus__fullyQualifiedNamespace": NAMESPACE, "ServiceBus__credential": "magic"},
            "ServiceBus__credential is none of managedidentity",
            id="unknown-credential",
        ),
    ],
)
def test_connection_that_cannot_be_used(monkeypatch, settings, reason):
    """What is wrong with the settings is said, and no value of theirs."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(NotFedError) as refused:
        Connection.of("ServiceBus")

    assert str(refused.value) == reason


def test_connection_string_as_a_name_is_not_repeated():
    """Who puts the string itself into the trigger finds it in no log."""
    with pytest.raises(NotFedError) as refused:
        Connection.of(STRING)

    assert KEY not in str(refused.value)
