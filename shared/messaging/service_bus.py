"""Adapter of the Service Bus SDK: its client, its errors and its messages."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from uuid import UUID

from shared.errors import (
    MessageTooLargeError,
    QueueError,
    QueueRefusedError,
    QueueUnreachableError,
    with_remedy,
)
from shared.messaging.messages import Message, OutgoingMessage, decode_properties
from shared.settings import ServiceBusSettings

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusClient, ServiceBusSender

_LOG = logging.getLogger(__name__)

# Of one attempt of the SDK's, in seconds. Without it, opening a link may wait forever.
_TRY_TIMEOUT = 8.0
_CLOSE_TIMEOUT = 3.0


class _Translation(NamedTuple):
    kind: type[QueueError]
    text: str
    remedy: str | None = None


_ACCESS_REMEDY = (
    "Check the key in `ServiceBus`, or the identity that the settings `ServiceBus__…` name. The "
    "identity needs the roles Azure Service Bus Data Receiver and Azure Service Bus Data Sender, the "
    "policy of a key the rights Listen and Send. Check the namespace's IP filter, too."
)
# By class name, because azure.servicebus and azure.core are costly to import.
_SDK_ERRORS: Mapping[str, _Translation] = {
    "MessagingEntityNotFoundError": _Translation(
        QueueRefusedError,
        "The queue {} does not exist.",
        "Create the queue, or correct the setting that names it.",
    ),
    "MessagingEntityDisabledError": _Translation(
        QueueRefusedError, "The queue {} is disabled.", "Set the queue's status to Active."
    ),
    "ServiceBusQuotaExceededError": _Translation(
        QueueRefusedError,
        "The queue {} is full, or its namespace has too many connections.",
        "Receive or discard messages of the queue, or close connections.",
    ),
    # Also for an identity without a role: Service Bus then refuses its token.
    "ServiceBusAuthenticationError": _Translation(
        QueueRefusedError,
        "Service Bus does not accept the app's credential for the queue {}.",
        _ACCESS_REMEDY,
    ),
    "ServiceBusAuthorizationError": _Translation(
        QueueRefusedError,
        "The app does not have the required right on the queue {}.",
        _ACCESS_REMEDY,
    ),
    "ClientAuthenticationError": _Translation(
        QueueRefusedError,
        "No Microsoft Entra token was acquired for the queue {}.",
        "Give the app a managed identity, and check the settings `ServiceBus__…` that name it.",
    ),
    "MessageSizeExceededError": _Translation(
        MessageTooLargeError, "The message exceeds the size limit of the queue {}."
    ),
}
_NOT_ALLOWED = _Translation(
    QueueRefusedError,
    "The queue {} does not accept such messages; it must not require sessions.",
    "Create the queue again without sessions; whether it requires them cannot be changed.",
)
_UNREACHABLE = _Translation(
    QueueUnreachableError,
    "Service Bus did not respond in time for the queue {}.",
    "Check the host name in `ServiceBus` or `ServiceBus__fullyQualifiedNamespace`, and whether a "
    "proxy, a firewall, a missing private endpoint or the namespace's IP filter is in the way: AMQP "
    "uses port 5671.",
)


def to_queue_error(error: BaseException, queue: str) -> QueueError:
    """Returns the app's error for an error of the SDK, with that as its cause, and with a remedy."""
    kind, text, remedy = next(_matching_errors(error), _UNREACHABLE)
    translated = with_remedy(kind(text.format(queue)), remedy)
    translated.__cause__ = error
    return translated


def requires_sessions(error: BaseException) -> bool:
    """Returns whether Service Bus refused a receiver because the queue requires sessions."""
    return _NOT_ALLOWED in _matching_errors(error)


def _matching_errors(error: BaseException) -> Iterator[_Translation]:
    # The SDK wraps errors that it does not expect, a credential's for example.
    inner = getattr(error, "inner_exception", None)
    if getattr(inner, "status_code", None) == HTTPStatus.NOT_FOUND:
        # Service Bus refuses the token for a queue that does not exist (azure-service-bus#304).
        yield _SDK_ERRORS["MessagingEntityNotFoundError"]
    for candidate in (error, inner):
        for kind in type(candidate).__mro__:
            if kind.__name__ in _SDK_ERRORS:
                yield _SDK_ERRORS[kind.__name__]
        if getattr(candidate, "condition", None) == b"amqp:not-allowed":
            yield _NOT_ALLOWED


@contextlib.contextmanager
def translate_errors(queue: str) -> Iterator[None]:
    """Raises the app's error for any error; the block must only call the SDK."""
    try:
        yield
    except Exception as error:
        raise to_queue_error(error, queue) from error


async def close_quietly(
    close: Callable[[], Awaitable[object]],
    *,
    timeout: float = _CLOSE_TIMEOUT,  # noqa: ASYNC109  one for all callers
) -> None:
    """Calls `close`; a failure or timeout is only logged."""
    try:
        async with asyncio.timeout(timeout):
            await close()
    except Exception as error:  # noqa: BLE001  the SDK raises many kinds of errors
        _LOG.debug("Closing failed: %s", type(error).__name__)


class ServiceBusNamespace:
    """The SDK's client and its credential, created on first use; belongs to one event loop."""

    def __init__(self, settings: ServiceBusSettings, *, try_timeout: float = _TRY_TIMEOUT) -> None:
        self._settings = settings
        # The callers retry: two layers of retries would multiply.
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
        """Returns the client; each of its senders and receivers has its own connection."""
        if self._client is None:
            self._client = self._create_client()
        return self._client

    async def aclose(self) -> None:
        """Closes all connections within seconds; the next use creates new ones."""
        client, self._client = self._client, None
        credential, self._credential = self._credential, None
        for opened in (client, credential):
            if opened is not None:
                await close_quietly(opened.close)

    def _create_client(self) -> "ServiceBusClient":
        from azure.servicebus.aio import ServiceBusClient

        if self._settings.service_bus:
            text = _without_entity_path(self._settings.service_bus.get_secret_value())
            return ServiceBusClient.from_connection_string(text, **self._options)
        namespace = self._settings.service_bus_namespace or ""
        self._credential = _create_credential(self._settings)
        return ServiceBusClient(namespace, self._credential, **self._options)


def _without_entity_path(connection_string: str) -> str:
    """Returns the connection string without the queue it was copied from: the app uses several."""
    parts = connection_string.split(";")
    return ";".join(part for part in parts if not part.lower().startswith("entitypath="))


def _create_credential(settings: ServiceBusSettings) -> "AsyncTokenCredential":
    """Returns the credential that the Functions host uses for the same settings."""
    from azure.identity.aio import (
        ClientSecretCredential,
        DefaultAzureCredential,
        ManagedIdentityCredential,
    )

    client_id, tenant_id = settings.service_bus_client_id, settings.service_bus_tenant_id
    secret, resource_id = settings.service_bus_client_secret, settings.service_bus_resource_id
    # App Service's name of the parameter (azure-sdk-for-python#11789). The library sends the name
    # `resource_id` unchanged, and App Service then uses another identity.
    by_resource_id = {"identity_config": {"mi_res_id": resource_id}} if resource_id else {}
    if settings.service_bus_credential == "managedidentity":
        return ManagedIdentityCredential(client_id=client_id, **by_resource_id)
    if tenant_id and client_id and secret:
        return ClientSecretCredential(tenant_id, client_id, secret.get_secret_value())
    # An explicit `None` stops the credential from reading AZURE_CLIENT_ID.
    by_client_id = {"managed_identity_client_id": client_id} if client_id or resource_id else {}
    return DefaultAzureCredential(**by_client_id, **by_resource_id)


_SIMPLE_TYPES = (str, float, bool, UUID, datetime, Decimal, type(None))
# AMQP's header has 32 bits for milliseconds (part 3, 3.2.1).
_MAX_TIME_TO_LIVE = timedelta(seconds=(2**32 - 1) // 1000)
_BATCH_OVERHEAD = 8  # of a message of more than 255 bytes, as the SDK counts


def to_sdk_message(message: OutgoingMessage) -> "ServiceBusMessage":
    """Returns the SDK's message; raises `ValueError` for what the SDK refuses."""
    from azure.servicebus import ServiceBusMessage

    life = message.time_to_live
    return ServiceBusMessage(
        message.body,
        application_properties={
            name: _to_sdk_value(value) for name, value in message.application_properties.items()
        },
        message_id=message.message_id,
        content_type=message.content_type,
        correlation_id=message.correlation_id,
        subject=message.subject,
        reply_to=message.reply_to,
        time_to_live=None if life is None else min(life, _MAX_TIME_TO_LIVE),
        scheduled_enqueue_time_utc=message.scheduled_enqueue_time_utc,
    )


def to_large_sdk_message(
    message: OutgoingMessage, sender: "ServiceBusSender"
) -> "ServiceBusMessage":
    """
    Returns the SDK's message if it is within the queue's size limit.

    Raises the SDK's `MessageSizeExceededError` if not: the service would detach the link.
    """
    from azure.servicebus import ServiceBusMessageBatch
    from azure.servicebus.exceptions import MessageSizeExceededError

    limit = sender._max_message_size_on_link  # noqa: SLF001  the SDK has no public property for it
    batch = ServiceBusMessageBatch(max_size_in_bytes=2**62)
    empty_size = batch.size_in_bytes
    converted = to_sdk_message(message)
    batch.add_message(converted)
    if batch.size_in_bytes - empty_size - _BATCH_OVERHEAD > limit:
        raise MessageSizeExceededError
    return converted


def _to_sdk_value(value: Any) -> Any:
    """
    Returns a value that the SDK encodes correctly; types that AMQP does not allow become JSON.

    By default the SDK encodes integers in 32 bits, which a timestamp exceeds, and bytes as text. It
    takes the type from `{"TYPE": …, "VALUE": …}`.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return {"TYPE": "LONG", "VALUE": value} if abs(value) < 2**63 else str(value)
    if isinstance(value, bytes):
        return {"TYPE": "BINARY", "VALUE": value}
    if isinstance(value, _SIMPLE_TYPES):
        return value
    return json.dumps(value, default=str)


def from_sdk_message(received: "ServiceBusReceivedMessage", queue_path: str) -> Message:
    """Returns the message that the SDK received from the queue path."""
    return Message(
        body=_body_bytes(received),
        queue=queue_path,
        sequence_number=received.sequence_number or 0,
        delivery_count=(received.delivery_count or 0) + 1,
        message_id=_to_text(received.message_id),
        content_type=_to_text(received.content_type),
        correlation_id=_to_text(received.correlation_id),
        subject=_to_text(received.subject),
        reply_to=_to_text(received.reply_to),
        enqueued_time_utc=received.enqueued_time_utc,
        expires_at_utc=received.expires_at_utc,
        application_properties=decode_properties(received.application_properties or {}),
    )


def _to_text(value: Any) -> str | None:
    # An id may be a number or a UUID.
    return None if value is None else str(value)


def _body_bytes(received: "ServiceBusReceivedMessage") -> bytes:
    body = received.body
    if received.body_type.value == "data":
        return b"".join(body)
    if received.body_type.value == "sequence":
        body = [item for section in body for item in section]
    # AMQP values: Azure's SDKs send them only on demand.
    if body is None or isinstance(body, bytes | str):
        return body.encode() if isinstance(body, str) else body or b""
    return json.dumps(_to_json(body), default=str).encode()


def _to_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(_to_json(name)): _to_json(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_to_json(item) for item in value]
    return value.decode(errors="replace") if isinstance(value, bytes) else value
