"""What becomes of a message: each of its requests is told, kept aside or tried again, by the table."""

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from functions._outcome import Settlement
from functions._outcomes import code_of, outcome_of, reason_of
from functions._services import Queues
from shared.errors import (
    DpsError,
    InvalidRequestError,
    PacedOutError,
    RetriesExhaustedError,
    SendError,
)
from shared.messaging.copies import Reason, park, rescheduled
from shared.messaging.messages import Message, OutgoingMessage
from shared.messaging.requests import BulkItem, EnrollmentRequest
from shared.messaging.results import reply_to, result

_LOG = logging.getLogger(__name__)

# Seconds before the next counted attempt: twice as long each time.
_FIRST_DELAY, _LONGEST_DELAY = 30.0, 3600.0
# Seconds before what is put off without being counted, where its error does not say how long.
_UNCOUNTED_DELAY = 30.0
# A rest of a bulk message is at least a full call.
_SMALLEST_REST = 10
# What ended so says nothing of the time that there was for others.
_WITHOUT_A_TURN = (InvalidRequestError, PacedOutError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """
    How one request of a message ended: with an `error`, or applied.

    `request` is `None` where it could not be read.
    """

    request: EnrollmentRequest | BulkItem | None
    etag: str | None = None
    call_id: str | None = None
    error: Exception | None = None

    @property
    def settlement(self) -> Settlement | None:
        """`None` for what was applied."""
        return outcome_of(self.error).settlement if self.error else None

    @property
    def position(self) -> int:
        """Where its request stands among those of the message."""
        return self.request.position if isinstance(self.request, BulkItem) else 0

    @property
    def record(self) -> str | None:
        """As `BulkItem.record`; `None` for what is alone in its message."""
        return self.request.record if isinstance(self.request, BulkItem) else None


Endings = Sequence[Ending]
Part = Callable[[Endings], bytes]
"""The body of a message with just these of the requests of another."""


async def settle(queues: Queues, message: Message, endings: Endings, part: Part) -> None:
    """
    Sends all that a message leaves to be sent; then it can be completed.

    Raises where it cannot be: for a bug of ours, and for a copy that must be kept and cannot be sent.
    """
    endings = _together([_exhausted(queues, message, ending) for ending in endings])
    groups: dict[Settlement | None, list[Ending]] = {}
    for ending in endings:
        groups.setdefault(ending.settlement, []).append(ending)
    bugs = groups.get(Settlement.ABANDON, [])
    if bugs and len(bugs) == len(endings):
        raise bugs[0].error or RuntimeError
    settling = _Settling(queues, message, endings, part)
    copies = [
        *settling.again(groups.get(Settlement.RETRY, [])),
        *settling.later(groups.get(Settlement.RESCHEDULE, [])),
        # Alone: what Service Bus dead-letters in the end takes nothing with it.
        *(copy for bug in bugs for copy in settling.later([bug])),
    ]
    await asyncio.gather(
        queues.sender.send(message.queue, *copies),
        *(settling.park(ending) for ending in groups.get(Settlement.PARK, [])),
    )
    await settling.tell([ending for ending in endings if ending.settlement in _TOLD])


_TOLD: Collection[Settlement | None] = {None, Settlement.PARK}


def is_tried_again(queues: Queues, message: Message, error: Exception) -> bool:
    """Whether what ends so is put off, and what comes after it with it; a bug goes on alone."""
    settlement = outcome_of(error).settlement
    is_last = message.attempt >= queues.settings.message_max_attempts
    return settlement is Settlement.RESCHEDULE or (settlement is Settlement.RETRY and not is_last)


def _exhausted(queues: Queues, message: Message, ending: Ending) -> Ending:
    """What would be tried once more, and has been tried often enough, is rejected."""
    last = ending.error
    if not last or ending.settlement is not Settlement.RETRY:
        return ending
    if is_tried_again(queues, message, last):
        return ending
    exhausted = RetriesExhaustedError(f"Tried too often; the last error: {last}")
    exhausted.__cause__ = last
    return replace(ending, error=exhausted)


def _together(endings: Endings) -> Endings:
    """What had no turn goes on with what is tried again for the same record: not past it."""
    tried = {e.record: e.error for e in endings if e.record and e.settlement is Settlement.RETRY}
    return [
        replace(ending, error=tried[ending.record])
        if ending.settlement is Settlement.RESCHEDULE and ending.record in tried
        else ending
        for ending in endings
    ]


@dataclass(frozen=True, slots=True)
class _Settling:
    queues: Queues
    message: Message
    endings: Endings
    part: Part

    def _body(self, endings: Endings) -> bytes | None:
        """`None` for all of the message: it goes on as it came."""
        return None if len(endings) == len(self.endings) else self.part(endings)

    def again(self, endings: Endings) -> Iterator[OutgoingMessage]:
        """A copy for the next counted attempt."""
        if not endings:
            return
        attempt = self.message.attempt
        delay = min(_FIRST_DELAY * 2 ** min(attempt - 1, 20), _LONGEST_DELAY)
        yield self._copy(endings, delay * _spread(), attempt + 1)

    def later(self, endings: Endings) -> Iterator[OutgoingMessage]:
        """Copies for what has not had its turn: at once and smaller, if there was time for some."""
        done = sum(not isinstance(ending.error, _WITHOUT_A_TURN) for ending in self.endings)
        if done and all(isinstance(ending.error, PacedOutError) for ending in endings):
            # Apart, changes of one record could overtake each other.
            size = len(endings) if _name_one_twice(endings) else max(_SMALLEST_REST, done)
            delay = 0.0
        else:
            size, delay = len(endings), max(map(_wait, endings), default=0.0) * _spread()
        for first in range(0, len(endings), size or 1):
            yield self._copy(endings[first : first + size], delay, self.message.attempt)

    def _copy(self, endings: Endings, delay: float, attempt: int) -> OutgoingMessage:
        return rescheduled(
            self.message,
            delay=timedelta(seconds=delay),
            attempt=attempt,
            body=self._body(endings),
        )

    async def park(self, ending: Ending) -> None:
        """Keeps one request aside with its reason."""
        error = ending.error or RuntimeError()
        reason = Reason(
            reason=reason_of(error),
            description=_in_words(error, ending.request),
            error_code=code_of(error),
            tracking_id=tracking_id_of(error),
        )
        queue = self.queues.settings.enrollment_rejected_queue
        await park(self.queues.sender, queue, self.message, reason, body=self._body([ending]))

    async def tell(self, endings: Endings) -> None:
        """Sends results; one that cannot be sent is no reason to do anything again."""
        settings = self.queues.settings
        wanted = reply_to(self.message, settings)
        if wanted.is_redirected:
            _LOG.warning(
                "reply_to of message %r is no queue of ENROLLMENT_REPLY_QUEUES",
                self.message.original_id,
            )
        results = [self._result(ending) for ending in endings]
        for queue in dict.fromkeys((wanted.queue, settings.enrollment_results_queue)):
            if queue is None or await self._is_sent(queue, results):
                return

    async def _is_sent(self, queue: str, results: Sequence[OutgoingMessage]) -> bool:
        try:
            await self.queues.sender.send(queue, *results)
        except SendError as error:
            _LOG.warning("%s results not sent to %s: %s", len(results), queue, error)
            return False
        return True

    def _result(self, ending: Ending) -> OutgoingMessage:
        error = ending.error
        return result(
            self.message,
            ending.request,
            etag=ending.etag,
            error_code=code_of(error) if error else None,
            text=str(error) if error else None,
            tracking_id=tracking_id_of(error),
            faults=error.faults if isinstance(error, InvalidRequestError) else None,
        )


def _name_one_twice(endings: Endings) -> bool:
    records = [ending.record for ending in endings]
    return len(set(records)) < len(records)


def _wait(ending: Ending) -> float:
    told = ending.error.retry_after if isinstance(ending.error, DpsError) else None
    return min(max(told or 0.0, _UNCOUNTED_DELAY), _LONGEST_DELAY)


def _spread() -> float:
    """What was put off together does not come back together."""
    return random.uniform(1.0, 1.5)  # noqa: S311  no secret


def tracking_id_of(error: BaseException | None) -> str | None:
    """DPS's own id of what went wrong, if it gave one; of many attempts that of the last."""
    if isinstance(error, RetriesExhaustedError):
        error = error.__cause__
    return error.tracking_id if isinstance(error, DpsError) else None


def _in_words(error: Exception, request: EnrollmentRequest | BulkItem | None) -> str:
    """The error with its faults, as they are in the body that is kept."""
    faults = error.faults if isinstance(error, InvalidRequestError) else {}
    if isinstance(request, BulkItem):
        # It is kept without the others.
        its, alone = (f"/{request.kind.path}/{place}" for place in (request.position, 0))
        faults = {place.replace(its, alone, 1): words for place, words in faults.items()}
    # No colon: what follows one after the name of a key would be taken for the key.
    told = (f"{place or 'The body'} {words};" for place, words in faults.items())
    return " ".join([str(error), *told])
