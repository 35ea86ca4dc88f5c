"""Senders and receivers of the real SDK, opened for tests and closed all at once."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusReceivedMessage


def leaves_sockets(test: Any) -> Any:
    """For a test after which the SDK has sockets that it has not closed.

    It forgets those of connections that ended without it, and some of its aio sessions. They are
    collected within the test, and are no failure there.
    """
    found = "ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning"
    return pytest.mark.filterwarnings(found)(pytest.mark.usefixtures("collected")(test))


WAIT = 10  # seconds within which whatever is expected comes
NOTHING = 0.3  # seconds after which what is not expected did not come


class Handlers:
    """Opens senders and receivers of one client; the SDK takes a second to close each."""

    def __init__(self, client: ServiceBusClient) -> None:
        self._client = client
        self._opened: list[Any] = []

    def sender(self, queue: str) -> Any:
        """A sender of the queue."""
        return self._keep(self._client.get_queue_sender(queue))

    def receiver(self, queue: str, **options: Any) -> Any:
        """A receiver of the queue."""
        return self._keep(self._client.get_queue_receiver(queue, **options))

    def close(self) -> None:
        """Closes them, each in a thread of its own."""
        if self._opened:
            with ThreadPoolExecutor(len(self._opened)) as pool:
                list(pool.map(lambda handler: handler.close(), self._opened))

    def _keep(self, handler: Any) -> Any:
        self._opened.append(handler)
        return handler


def take(receiver: Any, count: int = 1) -> list[ServiceBusReceivedMessage]:
    """Receives exactly so many messages."""
    messages: list[ServiceBusReceivedMessage] = []
    while len(messages) < count:
        more = receiver.receive_messages(count - len(messages), max_wait_time=WAIT)
        assert more, f"{len(messages)} of {count} messages came"
        messages += more
    return messages


def wait_until(condition: Callable[[], bool]) -> None:
    """Returns once `condition` holds; fails if it does not in time."""
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def body(message: Any) -> bytes:
    """The whole data of a message."""
    return b"".join(message.body)
