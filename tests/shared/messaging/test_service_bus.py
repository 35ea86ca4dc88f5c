"""The adapter of the Service Bus SDK: credentials, client and errors."""

import asyncio
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity.aio import (
    ClientSecretCredential,
    DefaultAzureCredential,
    ManagedIdentityCredential,
)
from azure.servicebus.exceptions import ServiceBusError, ServiceBusQuotaExceededError

from shared.errors import QueueRefusedError, QueueUnreachableError
from shared.messaging.service_bus import ServiceBusNamespace, close_quietly, to_queue_error
from shared.settings import ServiceBusSettings
from tests import secret_factory
from tests.identity_endpoint import RESOURCE_ID, SCOPE, identity_endpoint

HOST = {"ServiceBus__fullyQualifiedNamespace": "contoso.servicebus.windows.net"}
APPLICATION = {"ServiceBus__tenantId": "tenant", "ServiceBus__clientId": "client"}


def namespace(settings: dict[str, str]) -> ServiceBusNamespace:
    """Returns the namespace of these settings."""
    return ServiceBusNamespace(ServiceBusSettings.read(settings))


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({}, DefaultAzureCredential),
        ({"ServiceBus__clientId": "client"}, DefaultAzureCredential),
        ({"ServiceBus__credential": "managedidentity"}, ManagedIdentityCredential),
        (
            {"ServiceBus__credential": "managedidentity", "ServiceBus__clientId": "client"},
            ManagedIdentityCredential,
        ),
        (APPLICATION, DefaultAzureCredential),
    ],
)
async def test_credential_is_that_of_the_host(more: Any, kind: Any) -> None:
    """The settings mean the same to the app as to the Functions host's triggers."""
    async with namespace(HOST | more) as opened:
        client = opened.client()

        assert type(client._credential) is kind  # noqa: SLF001  the SDK shows it nowhere else
        assert client.fully_qualified_namespace == HOST["ServiceBus__fullyQualifiedNamespace"]


@pytest.mark.parametrize("kind", ["managedidentity", ""])
@pytest.mark.parametrize(
    ("setting", "value", "parameter"),
    [
        ("ServiceBus__managedIdentityResourceId", RESOURCE_ID, "mi_res_id"),
        ("ServiceBus__clientId", "client", "client_id"),
    ],
)
async def test_identity_is_the_one_that_the_settings_name(
    monkeypatch: pytest.MonkeyPatch, kind: str, setting: str, value: str, parameter: str
) -> None:
    """App Service is asked for it by the parameter that it knows, and by no other."""
    settings = HOST | {"ServiceBus__credential": kind, setting: value}
    async with identity_endpoint(monkeypatch) as queries, namespace(settings) as opened:
        credential = opened.client()._credential  # noqa: SLF001  the SDK shows it nowhere else
        await credential.get_token(SCOPE)  # type: ignore[union-attr]

    ids = {"client_id", "mi_res_id", "resource_id", "msi_res_id", "object_id"}
    assert [{name: query[name] for name in ids & query.keys()} for query in queries] == [
        {parameter: value}
    ]


async def test_client_secret_is_used_with_tenant_and_client_id() -> None:
    """The app can sign in as an application registration."""
    secret = {"ServiceBus__clientSecret": secret_factory.function_key()}

    async with namespace(HOST | APPLICATION | secret) as opened:
        credential = opened.client()._credential  # noqa: SLF001  the SDK shows it nowhere else
        assert type(credential) is ClientSecretCredential


async def test_entity_path_of_the_connection_string_is_ignored() -> None:
    """The connection string of one queue works for all queues."""
    key = secret_factory.symmetric_key()
    text = f"Endpoint=sb://a.windows.net/;SharedAccessKeyName=a;SharedAccessKey={key};EntityPath=q"

    async with namespace({"ServiceBus": text}) as opened:
        opened.client().get_queue_sender("another")


async def test_client_is_created_once() -> None:
    """A new client is created only after a close."""
    opened = namespace(HOST)

    first = opened.client()

    assert opened.client() is first
    await opened.aclose()
    assert opened.client() is not first
    await opened.aclose()


async def test_close_quietly_ignores_errors_and_times_out() -> None:
    """The call returns in any case."""

    async def fail() -> None:
        raise RuntimeError

    async def hang() -> None:
        await asyncio.Event().wait()

    await close_quietly(fail)
    await close_quietly(hang, timeout=0.01)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ServiceBusQuotaExceededError(), QueueRefusedError),
        (ServiceBusError("x", error=ClientAuthenticationError("no token")), QueueRefusedError),
        (ServiceBusError("x"), QueueUnreachableError),
        (AttributeError("the SDK's own"), QueueUnreachableError),
        (TimeoutError(), QueueUnreachableError),
    ],
)
def test_sdk_errors_are_translated(error: Any, kind: Any) -> None:
    """The translated error has the SDK's error as its cause."""
    opened = to_queue_error(error, "queue")

    assert (type(opened), opened.__cause__) == (kind, error)
    assert "queue" in str(opened)
