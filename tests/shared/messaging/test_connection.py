"""From settings to the SDK's client."""

import asyncio

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity.aio import (
    ClientSecretCredential,
    DefaultAzureCredential,
    ManagedIdentityCredential,
)
from azure.servicebus.exceptions import ServiceBusError, ServiceBusQuotaExceededError

from shared.errors import QueueRefusedError, QueueUnreachableError
from shared.messaging.connection import Namespace, closed, failure
from shared.settings import MessagingSettings
from tests import secret_factory

HOST = {"ServiceBus__fullyQualifiedNamespace": "contoso.servicebus.windows.net"}
APPLICATION = {"ServiceBus__tenantId": "tenant", "ServiceBus__clientId": "client"}


def namespace(settings: dict[str, str]) -> Namespace:
    """That of these settings."""
    return Namespace(MessagingSettings.read(settings))


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
async def test_identity_is_that_of_the_host(more, kind):
    """The settings mean what they mean to the triggers."""
    async with namespace(HOST | more) as found:
        client = found.client()

        assert type(client._credential) is kind  # noqa: SLF001  the SDK shows it nowhere else
        assert client.fully_qualified_namespace == HOST["ServiceBus__fullyQualifiedNamespace"]


async def test_application_signs_in_with_its_secret():
    """With tenant, id and secret."""
    secret = {"ServiceBus__clientSecret": secret_factory.function_key()}

    async with namespace(HOST | APPLICATION | secret) as found:
        credential = found.client()._credential  # noqa: SLF001  the SDK shows it nowhere else
        assert type(credential) is ClientSecretCredential


async def test_connection_string_serves_all_queues():
    """One that was copied from a queue names it."""
    key = secret_factory.symmetric_key()
    text = f"Endpoint=sb://a.windows.net/;SharedAccessKeyName=a;SharedAccessKey={key};EntityPath=q"

    async with namespace({"ServiceBus": text}) as found:
        found.client().get_queue_sender("another")


async def test_client_is_made_once():
    """And anew after it was closed."""
    found = namespace(HOST)

    first = found.client()

    assert found.client() is first
    await found.aclose()
    assert found.client() is not first
    await found.aclose()


async def test_closing_ends():
    """Whatever it waits for, and whatever it raises."""

    async def fail() -> None:
        raise RuntimeError

    async def hang() -> None:
        await asyncio.Event().wait()

    await closed(fail)
    await closed(hang, within=0.01)


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
def test_errors_get_our_names(error, kind):
    """The SDK's stays as the cause."""
    found = failure(error, "queue")

    assert (type(found), found.__cause__) == (kind, error)
    assert "queue" in str(found)
