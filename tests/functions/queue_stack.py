"""The stack with queues as they are in earnest, and what those at their ends do and see."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusReceivedMessage

from functions import _services
from local.dps import Options
from local.servicebus import Broker, BrokerOptions, QueueCounts, QueueOptions, Step
from local.servicebus.amqp.errors import Condition
from local.stack import Stack
from tests import secret_factory
from tests.functions.queue_messages import Document, message, read

REQUESTS, BULK = INPUTS = ("enrollment-requests", "bulk-operations")
RESULTS, REJECTED = "enrollment-results", "enrollment-rejected"
REPLIES, NO_QUEUE = "erp-replies", "no-such-queue"
MOST_DELIVERIES = 3
WITHIN = 30
"""Seconds within which whatever is expected comes, on a machine with much else to do."""

_LOCK_SECONDS = 60
_OPTIONS = {name: QueueOptions() for name in (RESULTS, REPLIES)} | {
    # What is sent twice under one id comes once: no copy may be such a duplicate.
    name: QueueOptions(
        duplicate_detection=3600,
        max_delivery_count=MOST_DELIVERIES,
        lock_duration=_LOCK_SECONDS,
    )
    for name in (*INPUTS, REJECTED)
}


class QueueStack(Stack):
    """A stack whose broker has just the queues that were made."""

    def __init__(self) -> None:
        super().__init__(Options(port=0, tls_port=None), functions_port=0)
        self.broker = Broker(BrokerOptions(port=0, auto_create=False, queues=_OPTIONS))
        self._running_with: Mapping[str, str] | None = None

    async def start(self) -> None:
        """As any stack does."""
        self._loop = asyncio.get_running_loop()
        self._closings: list[asyncio.Task[None]] = []
        await super().start()

    @property
    def settings(self) -> Mapping[str, str]:
        """What the app needs to find DPS and Service Bus, and does not do without."""
        return {
            "DPS_CONNECTION_STRING": self.dps.connection_string,
            "ServiceBus": self.broker.connection_string,
            "ENROLLMENT_RESULTS_QUEUE": RESULTS,
            "ENROLLMENT_REPLY_QUEUES": f"{REPLIES}, {REQUESTS}, {NO_QUEUE}",
            "MESSAGE_BUDGET_SECONDS": "10",
            "MESSAGE_MAX_ATTEMPTS": "3",
        }

    def run_app(self, settings: Mapping[str, str], *, anew: bool = False) -> None:
        """The app runs with these settings, which are in the environment already."""
        if anew or settings != self._running_with:
            self.restart_app()
            self._running_with = settings

    def restart_app(self) -> None:
        """The app reads its settings anew, as a new process of it would, and so will the next test."""
        asyncio.run_coroutine_threadsafe(self._forget(), self._loop).result(WITHIN)
        self._running_with = None

    async def _forget(self) -> None:
        # The SDK takes a second to close; what comes meanwhile has new connections.
        for shared in (_services.services, _services.queues):
            self._closings.append(asyncio.create_task(shared.aclose()))
        await asyncio.sleep(0)

    async def stop(self) -> None:
        """When all that was opened is closed."""
        await asyncio.gather(*self._closings)
        await super().stop()


class Queues:
    """The queues as those use them who send requests and read what became of them."""

    def __init__(self, stack: QueueStack) -> None:
        self.stack = stack
        self.broker = stack.broker
        self._client = ServiceBusClient.from_connection_string(
            self.broker.connection_string, try_timeout=10
        )
        self._senders: dict[str, Any] = {}
        self._receivers: dict[tuple[str, str | None], Any] = {}

    def close(self) -> None:
        """Closes all that was opened, each in a thread of its own: the SDK takes a second for one."""
        opened = [*self._senders.values(), *self._receivers.values()]
        if opened:
            with ThreadPoolExecutor(len(opened)) as pool:
                list(pool.map(lambda handler: handler.close(), opened))
        self._client.close()

    def let_pass(self, seconds: float) -> None:
        """Lets everything happen that the queues had for later: copies come, locks are lost."""
        self.broker.advance(seconds)
        # The app's clock has stood still: what it puts off now would be overdue.
        self.broker.advance(-seconds)

    def work_off(self, number: int) -> set[int]:
        """Lets time pass until there are so many results; the attempts that copies were put off as."""
        attempts = set()
        for _ in range(100):
            self.wait_until_handled()
            if self.broker.queue(RESULTS).active >= number:
                break
            copies = [read(found) for queue in INPUTS for found in self.peek(queue)]
            attempts |= {copy["properties"]["attempt"] for copy in copies}
            self.let_pass(200)
        return attempts

    def deliver_twice(
        self, body: Any, *, queue: str = REQUESTS, between: Callable[[], object] | None = None
    ) -> None:
        """Sends a message whose lock is lost after it was handled, before it can be completed."""
        self.broker.refuse(Step.REQUEST, Condition.MESSAGE_LOCK_LOST, queue=queue)
        self.send(queue, message(body))
        until(lambda: self.broker.statistics.faults == 1)
        if between:
            between()
        self.let_pass(_LOCK_SECONDS + 1)
        self.wait_until_handled()

    # In

    def request(self, body: Any, **properties: Any) -> None:
        """Sends a request for one record."""
        self.send(REQUESTS, message(body, **properties))

    def bulk(self, body: Any, **properties: Any) -> None:
        """Sends a request for many."""
        self.send(BULK, message(body, **properties))

    def send(self, queue: str, *messages: ServiceBusMessage) -> None:
        """Sends any messages, in batches of a hundred."""
        if queue not in self._senders:
            self._senders[queue] = self._client.get_queue_sender(queue)
        for first in range(0, len(messages), 100):
            self._senders[queue].send_messages(list(messages[first : first + 100]))

    # Out

    def results(self, number: int = 1, *, queue: str = RESULTS) -> list[Document]:
        """The results, once there are so many; a key among them fails the test."""
        found = [read(result) for result in self.lying_in(queue, number)]
        secret_factory.said += [json.dumps(result, default=str) for result in found]
        return found

    def parked(self, number: int = 1) -> list[Document]:
        """The rejected messages; their bodies are as they came, and may hold keys."""
        found = [read(copy) for copy in self.lying_in(REJECTED, number)]
        secret_factory.said += [f"{copy['properties']}" for copy in found]
        return found

    def put_off(self, number: int = 1, *, queue: str = REQUESTS) -> list[Document]:
        """The copies that wait in a queue of requests for their time."""
        until(lambda: self.broker.queue(queue) == QueueCounts(scheduled=number))
        return [read(copy) for copy in self.peek(queue)]

    def dead_letters(self, number: int = 1, *, queue: str = REQUESTS) -> list[Document]:
        """What the queue itself has given up."""
        until(lambda: self.broker.queue(queue).dead_lettered >= number)
        return [read(found) for found in self.peek(queue, "deadletter")]

    def lying_in(self, queue: str, number: int) -> list[ServiceBusReceivedMessage]:
        """The messages of a queue that nobody reads, once there are so many and requests are done."""
        until(lambda: self.broker.queue(queue).active >= number)
        self.wait_until_handled()
        found = self.peek(queue)
        assert len(found) == number, f"{len(found)} messages in {queue}, not {number}"
        return found

    def peek(self, queue: str, sub_queue: str | None = None) -> list[ServiceBusReceivedMessage]:
        """All messages of a queue, in whatever state."""
        receiver = self._receivers.get((queue, sub_queue))
        if receiver is None:
            receiver = self._client.get_queue_receiver(queue, sub_queue=sub_queue)
            self._receivers[queue, sub_queue] = receiver
        found: list[ServiceBusReceivedMessage] = []
        start = 1
        while batch := receiver.peek_messages(250, sequence_number=start):
            found += batch
            start = batch[-1].sequence_number + 1
        return found

    def wait_until_done(self, number: int) -> None:
        """Until so many requests were completed."""
        until(lambda: self.broker.statistics.completed >= number)

    def wait_until_handled(self) -> None:
        """Until no request waits or is under way; what was put off is neither."""
        for queue in INPUTS:
            until(lambda queue=queue: not (_is_busy(self.broker.queue(queue))))


def _is_busy(counts: QueueCounts) -> bool:
    return bool(counts.active or counts.locked)


def until(holds: Callable[[], bool], *, within: float = WITHIN) -> None:
    """Waits until something holds that happens in another thread, without an event."""
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, f"did not come within {within} seconds"
        time.sleep(0.005)
