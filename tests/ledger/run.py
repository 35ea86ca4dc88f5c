"""A run: sends the planned messages, injects faults on the way, and waits for all outcomes."""

import asyncio
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict

from azure.servicebus import ServiceBusMessage

from local.servicebus import QueueCounts
from shared.errors import DpsError
from tests.ledger.ledger import Entry, Ledger
from tests.ledger.messages import Document, Key, Message, Scenario
from tests.ledger.testbed import BUDGET_SECONDS, INPUTS, RESULTS_QUEUE, Testbed

_POLL_SECONDS = 0.05
# After this time without a new result, all messages in flight wait for their scheduled time.
_QUIET_SECONDS = 3 * _POLL_SECONDS
# After this time without a new result, locks that remain belong to no running host.
_IDLE_SECONDS = BUDGET_SECONDS + 5.0
# After this time without a new result, no more will come.
_STUCK_SECONDS = 90.0
_PRINT_SECONDS = 5.0

Fault = tuple[float, Callable[[], Awaitable[None]]]
"""The share of messages that must be finished first, and the function that injects the fault."""


class Run:
    """A run, which sends a plan and keeps its ledger."""

    def __init__(
        self,
        testbed: Testbed,
        plan: Sequence[Scenario],
        *,
        concurrency: int,
        faults: Sequence[Fault],
    ) -> None:
        self.ledger = Ledger()
        self._testbed = testbed
        self._plan = plan
        self._concurrency = concurrency
        self._to_start = deque(plan)
        self._to_send: list[tuple[Scenario, Message]] = []
        self._faults = deque(sorted(faults, key=lambda fault: fault[0]))
        messages = [message for scenario in plan for message in scenario.messages]
        self._expected = sum(not message.is_dead_lettered for message in messages)
        self._finished = 0
        self._in_flight = 0
        self._etags: dict[Key, str] = {}
        self._last_result = self._last_advance = time.monotonic()
        self._last_print = 0.0

    async def execute(self, *, timeout: float) -> None:  # noqa: ASYNC109  checked between steps
        """Returns when all messages are finished, no more results come, or the time is over."""
        await self._create_initial_records()
        deadline = time.monotonic() + timeout
        self._last_result = time.monotonic()
        while not self._is_over() and time.monotonic() < deadline:
            self._start_scenarios()
            await self._send()
            await self._inject_fault()
            self._print_progress()
            await asyncio.sleep(_POLL_SECONDS)
            await self._read_results()
        await self._testbed.stop_faults()

    async def _create_initial_records(self) -> None:
        initial: dict[str, list[Document]] = {}
        for scenario in self._plan:
            for (path, _), document in scenario.initial_records.items():
                initial.setdefault(path, []).append(document)
        for path, documents in initial.items():
            resource = self._testbed.resource(path)
            for first in range(0, len(documents), 10):
                operation = {"mode": "create", path: documents[first : first + 10]}
                result = await resource.run_bulk_operation(operation)
                assert result["isSuccessful"], result
        records = await self._testbed.read_records()
        self._etags = {key: record["etag"] for key, record in records.items()}

    # Sending

    def _start_scenarios(self) -> None:
        while self._to_start and self._in_flight < self._concurrency:
            scenario = self._to_start.popleft()
            self._in_flight += not scenario.messages[0].is_dead_lettered
            self._to_send.append((scenario, scenario.messages[0]))

    async def _send(self) -> None:
        """Sends the next message of each scenario, unless DPS fails to give an etag for it."""
        by_queue: dict[str, list[ServiceBusMessage]] = {}
        postponed = []
        for scenario, message in self._to_send:
            try:
                body = message.body_with_etags(await self._read_etags(message))
            except DpsError:
                postponed.append((scenario, message))
                continue
            self.ledger.add(scenario, message, body)
            by_queue.setdefault(message.queue, []).extend(_create_copies(message, body))
        self._to_send = postponed
        send = self._testbed.queues.send
        await asyncio.gather(*(send(queue, messages) for queue, messages in by_queue.items()))

    async def _read_etags(self, message: Message) -> dict[Key, str]:
        """Returns etags as results reported them, else as DPS has them now."""
        for path, id in message.etag_keys:
            if (path, id) not in self._etags:
                record = await self._testbed.resource(path).get(id)
                self._etags[path, id] = str(record.etag)
        return self._etags

    async def _read_results(self) -> None:
        """Reads new results, and continues the scenarios whose message is finished."""
        results = await self._testbed.queues.peek_new(RESULTS_QUEUE)
        if results:
            self._last_result = time.monotonic()
        for entry in self.ledger.record_results(results):
            self._finished += 1
            self._continue(entry)

    def _continue(self, entry: Entry) -> None:
        for item in entry.message.items:
            outcome = entry.observed[item.key][-1]
            if item.key and outcome.status is None:
                self._etags.pop(item.key, None)
                self._etags |= {item.key: outcome.etag} if outcome.etag else {}
        messages = entry.scenario.messages
        position = messages.index(entry.message) + 1
        if position < len(messages):
            self._to_send.append((entry.scenario, messages[position]))
        else:
            self._in_flight -= 1

    # Faults, and the end

    async def _inject_fault(self) -> None:
        if self._faults and self._finished >= self._faults[0][0] * self._expected:
            _, inject = self._faults.popleft()
            self._print(inject.__name__)
            await inject()
            self._last_result = time.monotonic()

    def _is_over(self) -> bool:
        """Returns whether all messages are finished, or no more results will come."""
        quiet = time.monotonic() - self._last_result
        if self._to_start or self._to_send or quiet < _QUIET_SECONDS:
            return False
        counts = [self._testbed.broker.queue(name) for name in INPUTS]
        are_empty = not any(map(_count_messages, counts))
        if are_empty and self._finished == self._expected and not self._faults:
            return True
        # Empty queues have nothing that is scheduled for later.
        if quiet > (_IDLE_SECONDS if are_empty else _STUCK_SECONDS):
            return True
        self._advance_clock(counts)
        return False

    def _advance_clock(self, counts: Sequence[QueueCounts]) -> None:
        """Advances the clock if everything left is scheduled, or locked by no running host."""
        now = time.monotonic()
        is_busy = any(count.active or count.locked for count in counts)
        patience = _IDLE_SECONDS if is_busy else _QUIET_SECONDS
        if now - max(self._last_result, self._last_advance) > patience:
            self._last_advance = now
            self._testbed.advance_clock()

    def _print_progress(self) -> None:
        now = time.monotonic()
        if now - self._last_print > _PRINT_SECONDS:
            self._last_print = now
            self._print("")

    def _print(self, event: str) -> None:
        counts = [asdict(self._testbed.broker.queue(name)) for name in INPUTS]
        states = [{state: n for state, n in count.items() if n} for count in counts]
        sys.stdout.write(
            f"{time.strftime('%X')} {self._finished} of {self._expected} finished, "
            f"{states} {event}\n"
        )
        sys.stdout.flush()


def _create_copies(message: Message, body: bytes) -> list[ServiceBusMessage]:
    """Returns the message as often as it is to be sent."""
    return [
        ServiceBusMessage(
            body,
            message_id=message.id,
            content_type=message.content_type,
            application_properties=message.properties or None,
        )
        for _ in range(message.copies)
    ]


def _count_messages(counts: QueueCounts) -> int:
    return counts.active + counts.locked + counts.scheduled + counts.deferred
