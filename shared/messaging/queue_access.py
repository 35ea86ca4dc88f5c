"""
Whether the app can use its queues: each is opened as the app uses it, and closed again.

Nothing is received: the SDK gives a receiver's link no credit before its first call to receive. A full
queue is not found, because it can be opened.
"""

import asyncio
from collections.abc import Iterator, Mapping
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from shared.errors import (
    AppError,
    NotConfiguredError,
    QueueError,
    QueueUnreachableError,
    with_remedy,
)
from shared.messaging.service_bus import (
    ServiceBusNamespace,
    close_quietly,
    requires_sessions,
    to_queue_error,
)
from shared.settings import ServiceBusSettings

if TYPE_CHECKING:
    from azure.servicebus.aio import ServiceBusReceiver, ServiceBusSender


class _Use(Enum):
    RECEIVE = auto()
    SEND = auto()
    FIND_SESSIONS = auto()  # of a queue that the app only sends to: a sender would not notice


_NEEDED = {
    _Use.RECEIVE: "receive from it",
    _Use.SEND: "send to it",
    _Use.FIND_SESSIONS: "send to it",
}


class _Access(NamedTuple):
    queue: str
    use: _Use


async def find_queue_errors(
    settings: ServiceBusSettings,
    *,
    timeout: float = 5.0,  # noqa: ASYNC109  of each of several calls
) -> list[AppError]:
    """
    Returns an error for each queue that the app cannot use, with a remedy.

    One error names all queues for which Service Bus did not respond within `timeout` seconds. Without
    a trigger that receives, no queue is opened.
    """
    errors: list[AppError] = [*_entity_path_errors(settings)]
    accesses = list(dict.fromkeys(_accesses(settings)))
    async with ServiceBusNamespace(settings, try_timeout=timeout) as namespace:
        outcomes = await asyncio.gather(
            *(_open(namespace, access, timeout) for access in accesses), return_exceptions=True
        )
    failed = {
        access: to_queue_error(outcome, access.queue)
        for access, outcome in zip(accesses, outcomes, strict=True)
        if outcome and (access.use is not _Use.FIND_SESSIONS or requires_sessions(outcome))
    }
    return [*errors, *_merged(failed)]


def _entity_path_errors(settings: ServiceBusSettings) -> Iterator[NotConfiguredError]:
    path = settings.entity_path
    if path and {queue.lower() for queue in settings.received_queues} - {path.lower()}:
        text = (
            "Must not have EntityPath: with it the Functions host receives from no other queue. "
            "Remove it, or use the connection string of the namespace."
        )
        yield NotConfiguredError({"ServiceBus": text})


def _accesses(settings: ServiceBusSettings) -> Iterator[_Access]:
    """Yields how the app uses each queue. It sends postponed requests to the input queues."""
    received = settings.received_queues
    if not received:
        return
    for queue in (*received, settings.enrollment_rejected_queue):
        yield _Access(queue, _Use.RECEIVE)
        yield _Access(queue, _Use.SEND)
    for name in (settings.enrollment_results_queue, *settings.enrollment_reply_queues):
        if name:
            yield _Access(name, _Use.SEND)
            yield _Access(name, _Use.FIND_SESSIONS)


async def _open(namespace: ServiceBusNamespace, access: _Access, timeout: float) -> None:  # noqa: ASYNC109  as above
    """Opens the queue and closes it; raises the SDK's errors, and `TimeoutError`."""
    handler: ServiceBusSender | ServiceBusReceiver
    if access.use is _Use.SEND:
        handler = namespace.client().get_queue_sender(access.queue)
    else:
        handler = namespace.client().get_queue_receiver(access.queue, prefetch_count=0)
    try:
        async with asyncio.timeout(timeout):
            await handler.__aenter__()
    finally:
        await close_quietly(handler.close)


def _merged(failed: Mapping[_Access, QueueError]) -> Iterator[QueueError]:
    """Yields one error for all unreachable queues, and one for the uses of a queue that fail alike."""
    alike: dict[str, list[_Access]] = {}
    for access, error in failed.items():
        key = "" if isinstance(error, QueueUnreachableError) else str(error)
        alike.setdefault(key, []).append(access)
    for text, accesses in alike.items():
        first = failed[accesses[0]]
        if text:
            needed = " and ".join(dict.fromkeys(_NEEDED[access.use] for access in accesses))
            yield with_remedy(type(first)(f"{text} The app has to {needed}."), first.remedy)
        else:
            queues = ", ".join(dict.fromkeys(access.queue for access in accesses))
            yield to_queue_error(first.__cause__ or first, queues)
