"""The way to the Service Bus namespace of the settings, and the SDK's errors by our names."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from shared.errors import MessageTooLargeError, QueueRefusedError, QueueUnreachableError, SendError
from shared.settings import MessagingSettings

if TYPE_CHECKING:  # costly: only what goes to Service Bus pays for it
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.servicebus.aio import ServiceBusClient

# For one attempt of the SDK's: without it, opening may wait for ever.
_TRY_TIMEOUT = 8.0
_CLOSE_WITHIN = 3.0

# By the names of classes of azure.servicebus and azure.core, which are not imported for this.
_FAILURES: Mapping[str, tuple[type[SendError], str]] = {
    "MessagingEntityNotFoundError": (QueueRefusedError, "There is no queue {}."),
    "MessagingEntityDisabledError": (QueueRefusedError, "The queue {} is disabled."),
    "ServiceBusQuotaExceededError": (
        QueueRefusedError,
        "The queue {} is full, or its namespace has too many connections.",
    ),
    "ServiceBusAuthenticationError": (
        QueueRefusedError,
        "Service Bus does not accept the app's credential for the queue {}.",
    ),
    "ServiceBusAuthorizationError": (
        QueueRefusedError,
        "The app has no right to use the queue {} so.",
    ),
    "ClientAuthenticationError": (
        QueueRefusedError,
        "Microsoft Entra gave the app no token for the queue {}.",
    ),
    "MessageSizeExceededError": (
        MessageTooLargeError,
        "The message has more than the queue {} takes.",
    ),
}
_NOT_ALLOWED = (
    QueueRefusedError,
    "The queue {} does not take such messages; it must not require sessions.",
)
_UNREACHABLE = (QueueUnreachableError, "Service Bus did not answer in time for the queue {}.")


def failure(error: BaseException, queue: str) -> SendError:
    """What an error of the SDK means for `queue`, with that error as its cause."""
    kind, text = next(_meanings(error), _UNREACHABLE)
    failed = kind(text.format(queue))
    failed.__cause__ = error
    return failed


def _meanings(error: BaseException) -> Iterator[tuple[type[SendError], str]]:
    # What the SDK did not expect, a credential's error say, it wraps.
    for found in (error, getattr(error, "inner_exception", None)):
        for kind in type(found).__mro__:
            if kind.__name__ in _FAILURES:
                yield _FAILURES[kind.__name__]
        if getattr(found, "condition", None) == b"amqp:not-allowed":
            yield _NOT_ALLOWED


@contextlib.contextmanager
def failures_of(queue: str) -> Iterator[None]:
    """Raises the errors of the SDK, for it alone is used inside, by our names."""
    try:
        yield
    except Exception as error:
        raise failure(error, queue) from error


async def closed(close: Callable[[], Awaitable[object]], *, within: float = _CLOSE_WITHIN) -> None:
    """Closes; what cannot be closed in time is left, whatever the reason."""
    try:
        async with asyncio.timeout(within):
            await close()
    except Exception as error:  # noqa: BLE001  the SDK's errors have many names
        logging.getLogger(__name__).debug("Closing failed: %s", type(error).__name__)


class Namespace:
    """The SDK's client and its credential, made on first use; of one event loop."""

    def __init__(self, settings: MessagingSettings, *, try_timeout: float = _TRY_TIMEOUT) -> None:
        self._settings = settings
        # Who uses the client begins anew after an error: two layers of retries would multiply.
        self._options: Mapping[str, Any] = {
            "try_timeout": try_timeout,
            "retry_total": 0,
            "retry_backoff_factor": 0.1,
        }
        self._client: ServiceBusClient | None = None
        self._credential: AsyncTokenCredential | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def client(self) -> "ServiceBusClient":
        """The client; each sender and receiver that it gives has a connection of its own."""
        if self._client is None:
            self._client = self._made()
        return self._client

    async def aclose(self) -> None:
        """Closes all connections, within seconds; the next use makes new ones."""
        client, self._client = self._client, None
        credential, self._credential = self._credential, None
        for opened in (client, credential):
            if opened is not None:
                await closed(opened.close)

    def _made(self) -> "ServiceBusClient":
        from azure.servicebus.aio import ServiceBusClient  # noqa: PLC0415  costly: on first use

        if self._settings.service_bus:
            text = _of_all_queues(self._settings.service_bus.get_secret_value())
            return ServiceBusClient.from_connection_string(text, **self._options)
        namespace = self._settings.service_bus_namespace or ""
        self._credential = _credential(self._settings)
        return ServiceBusClient(namespace, self._credential, **self._options)


def _of_all_queues(connection_string: str) -> str:
    """The string without the one queue that it may be copied from: the app uses several."""
    parts = connection_string.split(";")
    return ";".join(part for part in parts if not part.lower().startswith("entitypath="))


def _credential(settings: MessagingSettings) -> "AsyncTokenCredential":
    """The credential that the Functions host would take by the same settings."""
    # costly: on first use
    from azure.identity.aio import (  # noqa: PLC0415
        ClientSecretCredential,
        DefaultAzureCredential,
        ManagedIdentityCredential,
    )

    client_id, tenant_id = settings.service_bus_client_id, settings.service_bus_tenant_id
    secret = settings.service_bus_client_secret
    if settings.service_bus_credential == "managedidentity":
        return ManagedIdentityCredential(client_id=client_id)
    if tenant_id and client_id and secret:
        return ClientSecretCredential(tenant_id, client_id, secret.get_secret_value())
    # Not `None`: the credential would take that for an answer and not look into AZURE_CLIENT_ID.
    named = {"managed_identity_client_id": client_id} if client_id else {}
    return DefaultAzureCredential(**named)
