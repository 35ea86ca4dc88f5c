"""Lists, replays and discards rejected messages."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from shared.errors import InvalidRequestError, MessageNotFoundError, QueueUnreachableError
from shared.json_documents import apply_merge_patch, pointer
from shared.messaging.copies import DEAD_LETTER_QUEUE, Part, replayed_copy
from shared.messaging.rejected.model import (
    DEFERRED,
    MATCH_ALL,
    SCHEDULED,
    Filter,
    RejectedMessage,
)
from shared.messaging.rejected.peek import (
    Search,
    open_receiver,
    peek_messages,
    rejected_queue_paths,
)
from shared.messaging.rejected.receive import Action, ReceiveReport, ReceiveRun
from shared.messaging.requests import respelled_body
from shared.messaging.sender import MessageSender
from shared.messaging.service_bus import to_queue_error
from shared.redaction import masked_paths
from shared.settings import ServiceBusSettings

if TYPE_CHECKING:
    from azure.servicebus.aio import ServiceBusReceiver

MAX_PAGE_SIZE, MAX_REPLAY_SIZE = 100, 1000
_MAX_PAGE_BYTES = 1024 * 1024


class RejectedMessages:
    """
    The messages of the rejected queue and of the dead-letter queues of the app's queues.

    Every call opens its own connections, is bounded by `timeout` seconds and `limit` messages, and
    says where it ended. Calls that remove messages run one at a time. A queue that delivers nothing
    for `idle_timeout` seconds counts as empty.

    All methods raise `InvalidRequestError` for an invalid call, and `QueueRefusedError` or
    `QueueUnreachableError` if a queue fails before anything was done. They return JSON documents.
    """

    def __init__(
        self,
        settings: ServiceBusSettings,
        sender: MessageSender,
        *,
        timeout: float = 60.0,
        idle_timeout: float = 3.0,
        limit: int = 2000,
    ) -> None:
        self._settings = settings
        self._sender = sender
        self._timeout = timeout
        self._idle_timeout = idle_timeout
        self._limit = limit
        # Two runs would defer each other's selected messages.
        self._run_lock = asyncio.Lock()

    @property
    def queue_paths(self) -> tuple[str, ...]:
        """The queue paths; the rejected queue is the first."""
        return rejected_queue_paths(self._settings)

    def find_queue_fault(self, queue_path: str) -> str | None:
        """Returns what is wrong with a queue path; `None` for one of `queue_paths`, in any case."""
        if queue_path.lower() in map(str.lower, self.queue_paths):
            return None
        return f"must be one of {', '.join(self.queue_paths)}"

    async def page(
        self,
        queue_path: str | None = None,
        filter: Filter = MATCH_ALL,
        *,
        top: int = 20,
        start: int = 0,
    ) -> dict[str, Any]:
        """
        Returns at most `top` messages from the sequence number `start` on, without receiving them.

        `{"messages": […], "next": …}`: `next` is the `start` of the next page, `None` after the
        last. A page may be empty before the last.
        """
        entries: list[dict[str, Any]] = []
        async with self._open(queue_path) as (receiver, path):
            search = Search(receiver, path, filter, limit=self._limit)
            size = 0
            async for rejected in search.results(start):
                # In a thread: masking a megabyte takes long.
                entries.append(await asyncio.to_thread(rejected.document))
                size += len(rejected.message.body)
                if len(entries) >= min(top, MAX_PAGE_SIZE) or size >= _MAX_PAGE_BYTES:
                    search.stop()
        return {"messages": entries, "next": search.next}

    async def replay(
        self,
        filter: Filter = MATCH_ALL,
        *,
        queue_path: str | None = None,
        max_messages: int = 100,
        start: int = 0,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """
        Sends copies of messages to the queues they came from, and removes the messages.

        `sequenceNumbers` are those of the replayed messages (in a dry run, of those that would be),
        `refused` those of messages from no input queue. `next` is where the search ended. If it is
        interrupted, no message is lost: a copy may be sent twice, with the same message id.
        """
        states: dict[int, str] = {}
        refused: list[int] = []
        async with self._exclusive(), self._open(queue_path) as (receiver, path):
            search = Search(receiver, path, filter, limit=self._limit)
            async for rejected in search.results(start):
                number = rejected.message.sequence_number
                if rejected.state == SCHEDULED or self._target(rejected) is None:
                    refused.append(number)
                else:
                    states[number] = rejected.state
                if len(states) >= min(max_messages, MAX_REPLAY_SIZE):
                    search.stop()
            report = ReceiveReport(remaining=sorted(states))
            if not dry_run:
                report = await self._receive(receiver, path, states, self._replay_action())
        report.raise_if_nothing_done()
        document = report.document("replayed") | {"refused": refused, "next": search.next}
        return document | ({"sequenceNumbers": sorted(states)} if dry_run else {})

    async def replay_one(
        self,
        sequence_number: int,
        *,
        queue_path: str | None = None,
        merge_patch: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """
        Replays one message, with a JSON Merge Patch (RFC 7396) applied to its body if there is one.

        Raises `MessageNotFoundError`, and `InvalidRequestError` for a message that cannot be
        replayed or patched. `left` has its number if it was not received within the limits.
        """
        async with self._exclusive(), self._open(queue_path) as (receiver, path):
            rejected = await _find(receiver, path, sequence_number)
            if self._target(rejected) is None:
                fault = "must be of a message from one of the input queues, of which all is decoded"
                raise InvalidRequestError({"sequenceNumber": fault})
            patched = None if merge_patch is None else _patched(rejected, merge_patch)
            action = self._replay_action(patched)
            states = {sequence_number: rejected.state}
            report = await self._receive(receiver, path, states, action)
        report.raise_if_nothing_done()
        return report.document("replayed")

    async def discard(
        self, sequence_number: int, *, queue_path: str | None = None
    ) -> dict[str, Any]:
        """
        Removes one message for good; raises `MessageNotFoundError`.

        `left` has its number if it was not received within the limits.
        """
        async with self._exclusive(), self._open(queue_path) as (receiver, path):
            rejected = await _find(receiver, path, sequence_number)
            states = {sequence_number: rejected.state}
            report = await self._receive(receiver, path, states, _no_action)
        report.raise_if_nothing_done()
        # A message whose lock was lost is still in the queue.
        report.done = [number for number in report.done if number not in report.uncompleted]
        return report.document("discarded")

    @contextlib.asynccontextmanager
    async def _exclusive(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout):
                await self._run_lock.acquire()
        except TimeoutError as error:
            message = "Another replay or discard is in progress; retry later."
            raise QueueUnreachableError(message) from error
        try:
            yield
        finally:
            self._run_lock.release()

    @contextlib.asynccontextmanager
    async def _open(
        self, queue_path: str | None
    ) -> "AsyncIterator[tuple[ServiceBusReceiver, str]]":
        path = self._resolve_path(queue_path)
        try:
            async with (
                asyncio.timeout(2 * self._timeout),
                open_receiver(self._settings, path) as receiver,
            ):
                yield receiver, path
        except TimeoutError as error:
            raise to_queue_error(error, path) from error

    def _resolve_path(self, queue_path: str | None) -> str:
        if queue_path is None:
            return self.queue_paths[0]
        if fault := self.find_queue_fault(queue_path):
            raise InvalidRequestError({"queue": fault})
        return next(path for path in self.queue_paths if path.lower() == queue_path.lower())

    def _target(self, rejected: RejectedMessage) -> str | None:
        """Returns the input queue to replay to; `None` if it is from another or not complete."""
        if rejected.undecodable:
            return None
        inputs = self._settings.input_queues
        queue = rejected.message.queue.removesuffix(DEAD_LETTER_QUEUE)
        return next((name for name in (queue, rejected.source_queue) if name in inputs), None)

    def _replay_action(self, patched: Part | None = None) -> Action:
        async def replay(rejected: RejectedMessage) -> None:
            copy = replayed_copy(rejected.message, part=patched)
            await self._sender.send(self._target(rejected) or "", copy)

        return replay

    async def _receive(
        self,
        receiver: "ServiceBusReceiver",
        queue_path: str,
        states: Mapping[int, str],
        action: Action,
    ) -> ReceiveReport:
        run = ReceiveRun(
            receiver,
            queue_path,
            action,
            deadline=asyncio.get_running_loop().time() + self._timeout,
            limit=self._limit,
            idle_timeout=self._idle_timeout,
        )
        deferred = [number for number, state in states.items() if state == DEFERRED]
        return await run.receive(states.keys(), deferred=deferred)


async def _find(
    receiver: "ServiceBusReceiver", queue_path: str, sequence_number: int
) -> RejectedMessage:
    peek = peek_messages(receiver, queue_path, start=sequence_number, limit=1)
    messages = [rejected async for rejected in peek]
    if not messages or messages[0].message.sequence_number != sequence_number:
        raise MessageNotFoundError
    if messages[0].state == SCHEDULED:
        raise InvalidRequestError({"sequenceNumber": "must not be of a scheduled message"})
    return messages[0]


def _patched(rejected: RejectedMessage, merge_patch: Mapping[str, Any]) -> Part:
    """
    Returns the body with a JSON Merge Patch (RFC 7396) applied.

    Raises `InvalidRequestError` for a body that cannot be parsed, for results, which are not a
    request, and for a mask in the patch: a listing has it in place of a key, and it would replace
    the key.
    """
    if rejected.message.has_results:
        raise InvalidRequestError({"patch": "must not be of a message with results"})
    if rejected.fault is not None:
        raise InvalidRequestError(
            {"sequenceNumber": f"is of a message whose body {rejected.fault}"},
            "The message cannot be patched.",
        )
    faults = {
        pointer(*steps): "is masked, and must not be sent back"
        for steps in masked_paths(merge_patch)
    }
    if faults:
        raise InvalidRequestError(faults)
    patched = apply_merge_patch(respelled_body(rejected.content), respelled_body(merge_patch))
    return Part(json.dumps(patched).encode())


async def _no_action(_: RejectedMessage) -> None:
    """Does nothing before the message is completed."""
