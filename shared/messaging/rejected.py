"""What an operator does with messages that were rejected: read, mend, replay, discard."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from shared.errors import InvalidRequestError, MessageNotFoundError, QueueUnreachableError
from shared.messaging.browsing import Search, peeked, places, receiver_of
from shared.messaging.connection import failure
from shared.messaging.copies import DEAD_LETTER_QUEUE, replayed
from shared.messaging.mending import patched
from shared.messaging.rejections import DEFERRED, EVERY, SCHEDULED, Filter, RejectedMessage
from shared.messaging.sending import Sender
from shared.messaging.taking import Act, Taken, Taking
from shared.settings import MessagingSettings

if TYPE_CHECKING:  # costly: on first use
    from azure.servicebus.aio import ServiceBusReceiver

MOST_IN_PAGE, MOST_IN_REPLAY = 100, 1000
_LOOKED_AT = 2000
"""How many messages one call looks at, and as many it may defer."""
_BYTES_IN_PAGE = 1024 * 1024
_SECONDS = 60.0
_WAIT = 3.0
"""Until a queue that was seen to hold messages is taken to give no more."""


class RejectedMessages:
    """
    The rejected queue, and the dead letters of the app's queues: each a place by its path.

    Every call is bounded in time and in messages, says where it ended, and opens connections of its
    own. Of those that take messages one goes on at a time. All raise `InvalidRequestError` for what
    cannot be done at all, and `QueueRefusedError` or `QueueUnreachableError` for a place or a
    source queue that fails before anything was done.

    The answers are JSON documents.
    """

    def __init__(
        self,
        settings: MessagingSettings,
        sender: Sender,
        *,
        seconds: float = _SECONDS,
        wait: float = _WAIT,
        looked_at: int = _LOOKED_AT,
    ) -> None:
        self._settings = settings
        self._sender = sender
        self._seconds = seconds
        self._wait = wait
        self._looked_at = looked_at
        # Two would defer under each other what each has chosen.
        self._turn = asyncio.Lock()

    @property
    def places(self) -> tuple[str, ...]:
        """The paths; the rejected queue is the first."""
        return places(self._settings)

    async def page(
        self, place: str | None = None, wanted: Filter = EVERY, *, top: int = 20, start: int = 0
    ) -> dict[str, Any]:
        """
        Messages from the sequence number `start` on, at most `top`, as they lie.

        `{"messages": […], "next": …}`: `next` is the `start` of the page that follows, `None` after
        the last; a page may be empty before the last.
        """
        entries: list[dict[str, Any]] = []
        async with self._opened(place) as (receiver, path):
            search = Search(receiver, path, wanted, looked_at=self._looked_at)
            size = 0
            async for found in search.found(start):
                entries.append(found.document())
                size += len(found.message.body)
                if len(entries) >= min(top, MOST_IN_PAGE) or size >= _BYTES_IN_PAGE:
                    search.stop()
        return {"messages": entries, "next": search.next}

    async def replay(
        self,
        wanted: Filter = EVERY,
        *,
        place: str | None = None,
        at_most: int = 100,
        start: int = 0,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """
        Sends copies of messages to the queues they came from, and takes the messages away.

        `sequenceNumbers` are those of the messages replayed (in a dry run: that would be), `refused`
        those that belong to no queue of requests. `next` is where the search ended. Whatever
        interrupts it, no message is lost: a copy may be sent twice, under the same message id.
        """
        chosen: dict[int, str] = {}
        refused: list[int] = []
        async with self._taking_turns(), self._opened(place) as (receiver, path):
            search = Search(receiver, path, wanted, looked_at=self._looked_at)
            async for found in search.found(start):
                number = found.message.sequence_number
                if found.state == SCHEDULED or self._target(found) is None:
                    refused.append(number)
                else:
                    chosen[number] = found.state
                if len(chosen) >= min(at_most, MOST_IN_REPLAY):
                    search.stop()
            taken = Taken(left=sorted(chosen))
            if not dry_run:
                taken = await self._take(receiver, path, chosen, self._replaying())
        taken.raise_if_in_vain()
        outcome = taken.told("replayed") | {"refused": refused, "next": search.next}
        return outcome | ({"sequenceNumbers": sorted(chosen)} if dry_run else {})

    async def replay_one(
        self,
        sequence_number: int,
        *,
        place: str | None = None,
        merge_patch: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """
        Replays one message, its body changed by a JSON Merge Patch (RFC 7396) if there is one.

        Raises `MessageNotFoundError`, and `InvalidRequestError` for a message that cannot be
        replayed or patched. `left` names it if it was not come by within the bounds of one call.
        """
        async with self._taking_turns(), self._opened(place) as (receiver, path):
            found = await _found(receiver, path, sequence_number)
            if self._target(found) is None:
                raise InvalidRequestError(
                    {"sequenceNumber": "is of a message that came from no queue of requests"}
                )
            body = None if merge_patch is None else patched(found, merge_patch)
            act = self._replaying(body)
            taken = await self._take(receiver, path, {sequence_number: found.state}, act)
        taken.raise_if_in_vain()
        return taken.told("replayed")

    async def discard(self, sequence_number: int, *, place: str | None = None) -> dict[str, Any]:
        """
        Takes one message away for good; raises `MessageNotFoundError`.

        `left` names it if it was not come by within the bounds of one call.
        """
        async with self._taking_turns(), self._opened(place) as (receiver, path):
            found = await _found(receiver, path, sequence_number)
            taken = await self._take(receiver, path, {sequence_number: found.state}, _nothing)
        taken.raise_if_in_vain()
        # Whose lock was lost, is still there.
        taken.done = [number for number in taken.done if number not in taken.uncompleted]
        return taken.told("discarded")

    @contextlib.asynccontextmanager
    async def _taking_turns(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._seconds):
                await self._turn.acquire()
        except TimeoutError as error:
            raise QueueUnreachableError("Another replay goes on; try again later.") from error
        try:
            yield
        finally:
            self._turn.release()

    @contextlib.asynccontextmanager
    async def _opened(self, place: str | None) -> "AsyncIterator[tuple[ServiceBusReceiver, str]]":
        path = self._path(place)
        try:
            async with (
                asyncio.timeout(2 * self._seconds),
                receiver_of(self._settings, path) as receiver,
            ):
                yield receiver, path
        except TimeoutError as error:
            raise failure(error, path) from error

    def _path(self, place: str | None) -> str:
        if place is None:
            return self.places[0]
        # Service Bus takes a path in any case.
        for path in self.places:
            if path.lower() == place.lower():
                return path
        raise InvalidRequestError({"queue": f"must be one of {', '.join(self.places)}"})

    def _target(self, found: RejectedMessage) -> str | None:
        inputs = self._settings.input_queues
        queue = found.message.queue.removesuffix(DEAD_LETTER_QUEUE)
        return next((name for name in (queue, found.source_queue) if name in inputs), None)

    def _replaying(self, body: bytes | None = None) -> Act:
        async def replay(found: RejectedMessage) -> None:
            await self._sender.send(self._target(found) or "", replayed(found.message, body=body))

        return replay

    async def _take(
        self,
        receiver: "ServiceBusReceiver",
        path: str,
        states: Mapping[int, str],
        act: Act,
    ) -> Taken:
        taking = Taking(
            receiver,
            path,
            act,
            deadline=asyncio.get_running_loop().time() + self._seconds,
            at_most=self._looked_at,
            wait=self._wait,
        )
        deferred = [number for number, state in states.items() if state == DEFERRED]
        return await taking.take(states.keys(), deferred=deferred)


async def _found(
    receiver: "ServiceBusReceiver", path: str, sequence_number: int
) -> RejectedMessage:
    peek = peeked(receiver, path, start=sequence_number, at_most=1)
    first = [found async for found in peek]
    if not first or first[0].message.sequence_number != sequence_number:
        raise MessageNotFoundError
    if first[0].state == SCHEDULED:
        raise InvalidRequestError({"sequenceNumber": "is of a message that is not due yet"})
    return first[0]


async def _nothing(_: RejectedMessage) -> None:
    """Nothing is done before the message is completed."""
