"""Senders and receivers of the Azure SDK, opened for tests and closed all at once."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from azure.servicebus import (
    ServiceBusClient,
    ServiceBusReceivedMessage,
    ServiceBusReceiver,
    ServiceBusSender,
)

NewQueue = Callable[..., str]  # creates a queue with options, and returns its name
HandlerT = TypeVar("HandlerT", ServiceBusSender, ServiceBusReceiver)

# Without try_timeout the SDK may wait forever (see test_sdk_hazards).
CLIENT: dict[str, Any] = {"try_timeout": 10, "retry_total": 1, "retry_backoff_factor": 0.05}
WAIT = 10  # seconds to wait for what is expected
SHORT_WAIT = 0.3  # seconds to wait for what is not expected


LEAVES_SOCKETS = [
    pytest.mark.usefixtures("collected"),
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning",
        # As errors they would be raised in finalizers. pytest keeps such an error until the end of
        # the test, and with it the transport, which a later test's collection would then report.
        "ignore:unclosed:ResourceWarning",
        "ignore:loop is closed:ResourceWarning",
    ),
]
"""
Marks of tests after which the SDK leaves sockets open.

It does not close the sockets of connections that the broker ended, nor those of some asyncio
sessions. They are garbage-collected within the test, and the warnings are ignored.
"""


def leaves_sockets(test: Any) -> Any:
    """Marks one test with `LEAVES_SOCKETS`."""
    for mark in LEAVES_SOCKETS:
        test = mark(test)
    return test


class Handlers:
    """Senders and receivers of one client, closed in parallel: the SDK takes a second for each."""

    def __init__(self, client: ServiceBusClient) -> None:
        self._client = client
        self._opened: list[ServiceBusSender | ServiceBusReceiver] = []

    def sender(self, queue: str) -> ServiceBusSender:
        """Returns a sender of the queue."""
        return self._keep(self._client.get_queue_sender(queue))

    def receiver(self, queue: str, **options: Any) -> ServiceBusReceiver:
        """Returns a receiver of the queue."""
        return self._keep(self._client.get_queue_receiver(queue, **options))

    def close(self) -> None:
        """Closes all of them."""
        if self._opened:
            with ThreadPoolExecutor(len(self._opened)) as pool:
                list(pool.map(lambda handler: handler.close(), self._opened))

    def _keep(self, handler: HandlerT) -> HandlerT:
        self._opened.append(handler)
        return handler


def take(receiver: ServiceBusReceiver, count: int = 1) -> list[ServiceBusReceivedMessage]:
    """Receives exactly `count` messages."""
    messages: list[ServiceBusReceivedMessage] = []
    while len(messages) < count:
        more = receiver.receive_messages(count - len(messages), max_wait_time=WAIT)
        assert more, f"received {len(messages)} of {count} messages"
        messages += more
    return messages


def number(message: ServiceBusReceivedMessage) -> int:
    """Returns the sequence number of a message."""
    assert message.sequence_number is not None
    return message.sequence_number


def properties(message: ServiceBusReceivedMessage) -> dict[str | bytes, Any]:
    """Returns the application properties of a message."""
    return dict(message.application_properties or {})


def wait_until(condition: Callable[[], bool]) -> None:
    """Returns once `condition` holds; fails if it does not within `WAIT` seconds."""
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.02)
