"""A run: the plan is sent, trouble comes as it proceeds, and all is waited for."""

import asyncio
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict

from azure.servicebus import ServiceBusMessage

from local.servicebus import QueueCounts
from shared.errors import DpsError
from tests.ledger.asked import Document, Key, Step, Story
from tests.ledger.book import Ledger, Line
from tests.ledger.courier import messages_of
from tests.ledger.scene import BUDGET_SECONDS, INPUTS, RESULTS_QUEUE, Scene
from tests.ledger.state import records_in, resource_of

_LOOK_EVERY = 0.05
# Without anything new: all that is under way waits for something.
_SILENCE_SECONDS = 3 * _LOOK_EVERY
# The same: what is locked still is held by nobody.
_IDLE_SECONDS = BUDGET_SECONDS + 5.0
# The same: nothing will come any more.
_STUCK_SECONDS = 90.0
_SAY_EVERY = 5.0

Trouble = tuple[float, Callable[[], Awaitable[None]]]
"""What happens once that share of the messages has its endings."""


class Run:
    """Sends a plan and keeps the ledger."""

    def __init__(
        self,
        scene: Scene,
        plan: Sequence[Story],
        *,
        at_once: int,
        troubles: Sequence[Trouble],
    ) -> None:
        self.ledger = Ledger()
        self._scene = scene
        self._plan = plan
        self._at_once = at_once
        self._to_begin = deque(plan)
        self._to_send: list[tuple[Story, Step]] = []
        self._troubles = deque(sorted(troubles, key=lambda trouble: trouble[0]))
        steps = [step for story in plan for step in story.steps]
        self._messages = sum(not step.is_dead for step in steps)
        self._told = 0
        self._under_way = 0
        self._etags: dict[Key, str] = {}
        self._news_at = self._hurried_at = time.monotonic()
        self._said_at = 0.0

    async def go(self, *, within: float) -> None:
        """Returns when everything has ended, nothing new comes any more, or the time is over."""
        await self._prepare()
        deadline = time.monotonic() + within
        self._news_at = time.monotonic()
        while not self._is_over() and time.monotonic() < deadline:
            self._begin()
            await self._send()
            await self._trouble()
            self._progress()
            await asyncio.sleep(_LOOK_EVERY)
            await self._listen()
        await self._scene.calm()

    # Before

    async def _prepare(self) -> None:
        """Makes the records that are to be there."""
        before: dict[str, list[Document]] = {}
        for story in self._plan:
            for (path, _), document in story.before.items():
                before.setdefault(path, []).append(document)
        for path, documents in before.items():
            resource = resource_of(self._scene.client, path)
            for first in range(0, len(documents), 10):
                operation = {"mode": "create", path: documents[first : first + 10]}
                result = await resource.run_bulk_operation(operation)
                assert result["isSuccessful"], result
        found = await records_in(self._scene.client)
        self._etags = {key: record["etag"] for key, record in found.items()}

    # The plan

    def _begin(self) -> None:
        while self._to_begin and self._under_way < self._at_once:
            story = self._to_begin.popleft()
            self._under_way += not story.steps[0].is_dead
            self._to_send.append((story, story.steps[0]))

    async def _send(self) -> None:
        """Sends what is next of each story, except where an etag cannot be had yet."""
        by_queue: dict[str, list[ServiceBusMessage]] = {}
        left = []
        for story, step in self._to_send:
            try:
                body = step.with_etags(await self._etags_for(step))
            except DpsError:
                left.append((story, step))
                continue
            self.ledger.enter(story, step, body)
            by_queue.setdefault(step.queue, []).extend(messages_of(step, body))
        self._to_send = left
        send = self._scene.courier.send
        await asyncio.gather(*(send(queue, messages) for queue, messages in by_queue.items()))

    async def _etags_for(self, step: Step) -> dict[Key, str]:
        """As results told them, and else as they are."""
        for path, id in step.etags:
            if (path, id) not in self._etags:
                record = await resource_of(self._scene.client, path).get(id)
                self._etags[path, id] = str(record.etag)
        return self._etags

    async def _listen(self) -> None:
        """Reads results, and goes on with the stories of which one step has ended."""
        results = await self._scene.courier.news(RESULTS_QUEUE)
        if results:
            self._news_at = time.monotonic()
        for line in self.ledger.read(results):
            self._told += 1
            self._go_on(line)

    def _go_on(self, line: Line) -> None:
        for item in line.step.items:
            told = line.told[item.key][-1]
            if item.key and told.status is None:
                self._etags.pop(item.key, None)
                self._etags |= {item.key: told.etag} if told.etag else {}
        steps = line.story.steps
        following = steps.index(line.step) + 1
        if following < len(steps):
            self._to_send.append((line.story, steps[following]))
        else:
            self._under_way -= 1

    # What happens meanwhile

    async def _trouble(self) -> None:
        if self._troubles and self._told >= self._troubles[0][0] * self._messages:
            _, happen = self._troubles.popleft()
            self._say(happen.__name__)
            await happen()
            self._news_at = time.monotonic()

    def _is_over(self) -> bool:
        """Whether nothing is left to come, or nothing comes any more."""
        silence = time.monotonic() - self._news_at
        if self._to_begin or self._to_send or silence < _SILENCE_SECONDS:
            return False
        counts = [self._scene.broker.queue(name) for name in INPUTS]
        if not any(map(_left, counts)) and self._told == self._messages and not self._troubles:
            return True
        # In empty queues nothing waits for its time.
        if silence > (_STUCK_SECONDS if any(map(_left, counts)) else _IDLE_SECONDS):
            return True
        self._hurry(counts)
        return False

    def _hurry(self, counts: Sequence[QueueCounts]) -> None:
        """Brings near what is scheduled, or locked by nobody, when nothing else is going on."""
        now = time.monotonic()
        is_busy = any(count.active or count.locked for count in counts)
        patience = _IDLE_SECONDS if is_busy else _SILENCE_SECONDS
        if now - max(self._news_at, self._hurried_at) > patience:
            self._hurried_at = now
            self._scene.elapse()

    def _progress(self) -> None:
        now = time.monotonic()
        if now - self._said_at > 5:
            self._said_at = now
            self._say("")

    def _say(self, happened: str) -> None:
        queues = [asdict(self._scene.broker.queue(name)) for name in INPUTS]
        states = [{state: n for state, n in counts.items() if n} for counts in queues]
        sys.stdout.write(
            f"{time.strftime('%X')} {self._told} of {self._messages} told, {states} {happened}\n"
        )
        sys.stdout.flush()


def _left(count: QueueCounts) -> int:
    return count.active + count.locked + count.scheduled + count.deferred
