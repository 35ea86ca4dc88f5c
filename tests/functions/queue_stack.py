"""The local stack with queues, and clients of its queues and of its DPS."""

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusReceivedMessage

from functions import runtime
from local.dps import Options
from local.servicebus import Broker, BrokerOptions, QueueCounts, QueueOptions, Step
from local.servicebus.amqp.errors import Condition
from local.stack import Stack
from tests import secret_factory
from tests.functions.samples import Document

REQUESTS, BULK = INPUTS = ("enrollment-requests", "bulk-operations")
RESULTS, REJECTED = "enrollment-results", "enrollment-rejected"
REPLIES, MISSING_QUEUE = "erp-replies", "no-such-queue"
MAX_DELIVERY_COUNT = 3
TIMEOUT = 30
"""Seconds to wait for anything that must happen, on a busy machine."""

_LOCK_SECONDS = 60
_QUEUES = {name: QueueOptions() for name in (RESULTS, REPLIES)} | {
    # With duplicate detection: no copy may have the id of another message.
    name: QueueOptions(
        duplicate_detection=3600,
        max_delivery_count=MAX_DELIVERY_COUNT,
        lock_duration=_LOCK_SECONDS,
    )
    for name in (*INPUTS, REJECTED)
}


class QueueStack(Stack):
    """A stack whose broker has only the queues above."""

    def __init__(self) -> None:
        super().__init__(Options(port=0, tls_port=None), functions_port=0)
        self.broker = Broker(BrokerOptions(port=0, auto_create=False, queues=_QUEUES))
        self._app_settings: Mapping[str, str] | None = None

    async def start(self) -> None:
        """Starts the stack."""
        self._loop = asyncio.get_running_loop()
        self._closing: list[asyncio.Task[None]] = []
        await super().start()

    @property
    def settings(self) -> Mapping[str, str]:
        """The settings of the app."""
        return {
            "DPS_CONNECTION_STRING": self.dps.connection_string,
            "ServiceBus": self.broker.connection_string,
            "ENROLLMENT_RESULTS_QUEUE": RESULTS,
            "ENROLLMENT_REPLY_QUEUES": f"{REPLIES}, {REQUESTS}, {MISSING_QUEUE}",
            "MESSAGE_BUDGET_SECONDS": "10",
            "MESSAGE_MAX_ATTEMPTS": "3",
        }

    def run_app(self, settings: Mapping[str, str], *, force_restart: bool = False) -> None:
        """Restarts the app if it has other settings than these, which are in the environment."""
        if force_restart or settings != self._app_settings:
            self.restart_app()
            self._app_settings = settings

    def restart_app(self) -> None:
        """Makes the app read its settings again, like a new process; the next test restarts it."""
        asyncio.run_coroutine_threadsafe(self._close_app(), self._loop).result(TIMEOUT)
        self._app_settings = None

    async def _close_app(self) -> None:
        # In the background: the SDK takes a second to close a connection.
        for instances in (runtime.services, runtime.messaging):
            self._closing.append(asyncio.create_task(instances.aclose()))
        await asyncio.sleep(0)

    async def stop(self) -> None:
        """Stops the stack once every connection is closed."""
        await asyncio.gather(*self._closing)
        await super().stop()


class Queues:
    """A client of the queues that sends requests and reads results and rejected messages."""

    def __init__(self, stack: QueueStack) -> None:
        self.stack = stack
        self.broker = stack.broker
        self._client = ServiceBusClient.from_connection_string(
            self.broker.connection_string, try_timeout=10
        )
        self._senders: dict[str, Any] = {}
        self._receivers: dict[tuple[str, str | None], Any] = {}

    def close(self) -> None:
        """Closes all handlers, each in its own thread: the SDK takes a second for one."""
        handlers = [*self._senders.values(), *self._receivers.values()]
        if handlers:
            with ThreadPoolExecutor(len(handlers)) as pool:
                list(pool.map(lambda handler: handler.close(), handlers))
        self._client.close()

    def advance(self, seconds: float) -> None:
        """Runs what the queues have scheduled within `seconds`: copies arrive, locks expire."""
        self.broker.advance(seconds)
        # The app's clock has not moved: what it schedules next would be overdue.
        self.broker.advance(-seconds)

    def drain(self, number: int) -> set[int]:
        """Advances until there are `number` results; returns the attempts of the copies seen."""
        attempts = set()
        for _ in range(300):
            self.wait_until_idle()
            if self.broker.queue(RESULTS).active >= number:
                break
            copies = [to_document(copy) for queue in INPUTS for copy in self.peek(queue)]
            attempts |= {copy["properties"]["attempt"] for copy in copies}
            self.advance(200)
        return attempts

    def deliver_twice(
        self, body: Any, *, queue: str = REQUESTS, between: Callable[[], object] | None = None
    ) -> None:
        """Sends a message whose lock is lost after it was processed, before it is completed."""
        self.broker.refuse(Step.REQUEST, Condition.MESSAGE_LOCK_LOST, queue=queue)
        self.send(queue, message(body))
        until(lambda: self.broker.statistics.faults == 1)
        if between:
            between()
        self.advance(_LOCK_SECONDS + 1)
        self.wait_until_idle()

    def request(self, body: Any, **properties: Any) -> None:
        """Sends a request for one record."""
        self.send(REQUESTS, message(body, **properties))

    def bulk(self, body: Any, **properties: Any) -> None:
        """Sends a bulk request."""
        self.send(BULK, message(body, **properties))

    def send(self, queue: str, *messages: ServiceBusMessage) -> None:
        """Sends messages, in batches of a hundred."""
        if queue not in self._senders:
            self._senders[queue] = self._client.get_queue_sender(queue)
        for first in range(0, len(messages), 100):
            self._senders[queue].send_messages(list(messages[first : first + 100]))

    def results(self, number: int = 1, *, queue: str = RESULTS) -> list[Document]:
        """Returns the results once there are `number`; the test fails if one has a secret."""
        results = [to_document(result) for result in self.messages_in(queue, number)]
        secret_factory.outputs += [json.dumps(result, default=str) for result in results]
        return results

    def outcomes(self, number: int = 1, *, queue: str = RESULTS) -> list[Document]:
        """Returns the `data` of the results, once there are `number`."""
        return [result["event"]["data"] for result in self.results(number, queue=queue)]

    def rejected(self, number: int = 1) -> list[Document]:
        """Returns the rejected messages; their bodies are as sent, and may have keys."""
        copies = [to_document(copy) for copy in self.messages_in(REJECTED, number)]
        secret_factory.outputs += [f"{copy['properties']}" for copy in copies]
        return copies

    def postponed(self, number: int = 1, *, queue: str = REQUESTS) -> list[Document]:
        """Returns the scheduled copies, once they are `number` and the queue's only messages."""
        until(lambda: self.broker.queue(queue) == QueueCounts(scheduled=number))
        return [to_document(copy) for copy in self.peek(queue)]

    def dead_letters(self, number: int = 1, *, queue: str = REQUESTS) -> list[Document]:
        """Returns the dead-lettered messages, once there are `number`."""
        until(lambda: self.broker.queue(queue).dead_lettered >= number)
        return [to_document(received) for received in self.peek(queue, "deadletter")]

    def messages_in(self, queue: str, number: int) -> list[ServiceBusReceivedMessage]:
        """Returns the messages of a queue that has no receiver, once the input queues are idle."""
        until(lambda: self.broker.queue(queue).active >= number)
        self.wait_until_idle()
        messages = self.peek(queue)
        assert len(messages) == number, f"{len(messages)} messages in {queue}, not {number}"
        return messages

    def peek(self, queue: str, sub_queue: str | None = None) -> list[ServiceBusReceivedMessage]:
        """Returns all messages of a queue, in any state."""
        receiver = self._receivers.get((queue, sub_queue))
        if receiver is None:
            receiver = self._client.get_queue_receiver(queue, sub_queue=sub_queue)
            self._receivers[queue, sub_queue] = receiver
        messages: list[ServiceBusReceivedMessage] = []
        start = 1
        while batch := receiver.peek_messages(250, sequence_number=start):
            messages += batch
            start = (batch[-1].sequence_number or start) + 1
        return messages

    def wait_until_completed(self, number: int) -> None:
        """Waits until `number` messages were completed."""
        until(lambda: self.broker.statistics.completed >= number)

    def wait_until_idle(self) -> None:
        """Waits until no input queue has an active or locked message; scheduled ones may remain."""
        until(lambda: not any(_is_busy(self.broker.queue(queue)) for queue in INPUTS))


def _is_busy(counts: QueueCounts) -> bool:
    return bool(counts.active or counts.locked)


def until(condition: Callable[[], bool], *, timeout: float = TIMEOUT) -> None:
    """Waits until the condition holds; fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"did not happen within {timeout} seconds"
        time.sleep(0.005)


def message(body: Any, **properties: Any) -> ServiceBusMessage:
    """Returns a message with this body: bytes, or a JSON document."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ServiceBusMessage(raw, **properties)


def to_document(received: ServiceBusReceivedMessage) -> Document:
    """Returns a message in plain types: `body` is bytes, `event` its JSON or `None`."""
    body = b"".join(received.body)
    properties = received.application_properties or {}
    return {
        "body": body,
        "event": _parse(body),
        "properties": {_decode(name): _decode(value) for name, value in properties.items()},
        "message_id": received.message_id,
        "content_type": received.content_type,
        "correlation_id": received.correlation_id,
        "subject": received.subject,
        "reply_to": received.reply_to,
        "delivery_count": received.delivery_count,
    }


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _decode(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def outcomes(results: Iterable[Document]) -> list[Document]:
    """Returns the `data` of each result."""
    return [result["event"]["data"] for result in results]


class Dps:
    """The stand-in's control endpoints, and its records through the app."""

    def __init__(self, queues: Queues) -> None:
        self._stand_in = queues.stack.dps
        self._app = httpx.Client(base_url=queues.stack.host.url, timeout=30)

    def close(self) -> None:
        """Closes the connections."""
        self._app.close()

    def configure(self, control: str, value: Any) -> None:
        """Sets `faults`, `latency` or `throttle` of the stand-in."""
        httpx.put(f"{self._stand_in.url}/_{control}", json=value).raise_for_status()

    def faults(self, *faults: Document) -> None:
        """Replaces all faults by these."""
        self.configure("faults", faults)

    def clear_faults(self) -> None:
        """Removes all faults, and ends stalled calls."""
        httpx.delete(f"{self._stand_in.url}/_faults").raise_for_status()

    def put(self, record: Document, *, if_match: str | None = None) -> Document:
        """Writes a record."""
        headers = {"If-Match": if_match} if if_match else {}
        response = self._app.put(_path(record), json=record, headers=headers)
        return dict(response.raise_for_status().json())

    def get(self, record: Document) -> Document | None:
        """Returns the stored record with the same id; `None` if there is none."""
        response = self._app.get(_path(record))
        return None if response.status_code == 404 else dict(response.raise_for_status().json())

    def stored(self, record: Document) -> Document:
        """Returns the stored record with the same id; fails the test if there is none."""
        stored = self.get(record)
        assert stored
        return stored

    def keys(self, record: Document) -> Document:
        """Returns the keys of an enrollment or group."""
        response = self._app.post(f"{_path(record)}/attestationmechanism").raise_for_status()
        return dict(response.json()["symmetricKey"])

    @property
    def stats(self) -> Document:
        """The stand-in's counters."""
        return dict(httpx.get(f"{self._stand_in.url}/_stats").json())

    @property
    def calls(self) -> list[str]:
        """The operations that the stand-in received, in order."""
        return [request.operation or "" for request in self._stand_in.requests]


def _path(record: Document) -> str:
    if "registrationId" in record:
        return f"/enrollments/{record['registrationId']}"
    return f"/enrollmentGroups/{record['enrollmentGroupId']}"
