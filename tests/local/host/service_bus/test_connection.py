"""The settings and the credential that a trigger's `connection` selects."""

import pytest

from local.host.errors import TriggerSkippedError
from local.host.service_bus.connection import Connection
from tests.identity_endpoint import RESOURCE_ID, SCOPE, identity_endpoint

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
def test_connection_string_is_found(
    monkeypatch: pytest.MonkeyPatch, name: str, setting: str
) -> None:
    """A connection string is found under every setting that Azure's host reads."""
    monkeypatch.setenv(setting, STRING)

    assert Connection.from_settings(name).members == {"": STRING}


def test_name_takes_precedence_over_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ServiceBus` takes precedence over `AzureWebJobsServiceBus`."""
    monkeypatch.setenv("AzureWebJobsServiceBus", "another")
    monkeypatch.setenv("ServiceBus", STRING)

    assert Connection.from_settings("ServiceBus").setting == "ServiceBus"


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
async def test_members_select_the_credential(
    monkeypatch: pytest.MonkeyPatch, members: dict[str, str], credential: str
) -> None:
    """The members of an identity-based connection select the class of the credential."""
    monkeypatch.setenv("ServiceBus__fullyQualifiedNamespace", NAMESPACE)
    for name, value in members.items():
        monkeypatch.setenv(f"ServiceBus__{name}", value)

    connection = Connection.from_settings("ServiceBus")

    async with connection.create_credential() as created:
        assert type(created).__name__ == credential
    assert connection.namespace == NAMESPACE


@pytest.mark.parametrize("kind", ["managedidentity", ""])
async def test_identity_is_found_by_its_resource_id(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """App Service is asked for the identity that managedIdentityResourceId names."""
    monkeypatch.setenv("ServiceBus__fullyQualifiedNamespace", NAMESPACE)
    monkeypatch.setenv("ServiceBus__managedIdentityResourceId", RESOURCE_ID)
    monkeypatch.setenv("ServiceBus__credential", kind)
    connection = Connection.from_settings("ServiceBus")
    async with (
        identity_endpoint(monkeypatch) as queries,
        connection.create_credential() as credential,
    ):
        await credential.get_token(SCOPE)

    assert [query.get("mi_res_id") for query in queries] == [RESOURCE_ID]
    assert "client_id" not in queries[0]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        pytest.param(
            {}, "neither ServiceBus nor ServiceBus__fullyQualifiedNamespace is set", id="missing"
        ),
        pytest.param(
            {"ServiceBus__credential": "managedidentity"},
            "ServiceBus needs a connection string or a fullyQualifiedNamespace",
            id="no-namespace",
        ),
        pytest.param(
            {
                "ServiceBus__fullyQualifiedNamespace": NAMESPACE,
                "ServiceBus__clientId": "c",
                "ServiceBus__managedIdentityResourceId": RESOURCE_ID,
            },
            "ServiceBus must not have both clientId and managedIdentityResourceId",
            id="two-identities",
        ),
        pytest.param(
            {"ServiceBus": f"SharedAccessKey={KEY}"},
            "ServiceBus must be a Service Bus connection string",
            id="unreadable",
        ),
        pytest.param(
            {"ServiceBus__fullyQualifiedNamespace": NAMESPACE, "ServiceBus__credential": "magic"},
            "ServiceBus__credential must be one of 'managedidentity'",
            id="unknown-credential",
        ),
    ],
)
def test_invalid_connection_is_reported(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], reason: str
) -> None:
    """The error names the faulty setting, and never its value."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(TriggerSkippedError) as error:
        Connection.from_settings("ServiceBus")

    assert str(error.value) == reason


def test_connection_string_as_connection_name_is_not_echoed() -> None:
    """A connection string given in place of a setting's name does not appear in the error."""
    with pytest.raises(TriggerSkippedError) as error:
        Connection.from_settings(STRING)

    assert KEY not in str(error.value)
