"""
Application properties that receivers set as they settle a message ("properties to modify").

The SDKs for .NET, Java and JavaScript support them, the one for Python does not.
"""

import socket
from collections.abc import Iterator
from uuid import UUID

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusSubQueue

from local.servicebus import Broker, BrokerOptions
from local.servicebus.amqp import encode
from local.threads import in_thread
from tests.local.servicebus import wire
from tests.local.servicebus.handlers import Handlers, properties, take, wait_until

DEAD_LETTERS = ServiceBusSubQueue.DEAD_LETTER
QUOTA = 8000
REJECTED, MODIFIED = 0x25, 0x27
MODIFIED_PROPERTIES = encode.map_(
    (encode.symbol("attempts"), encode.long(3)),
    (encode.symbol("since"), encode.timestamp(1_700_000_000_000)),
    (encode.symbol("k"), encode.string("new")),
    (encode.symbol("nothing"), encode.NULL),
)
RECEIVED_PROPERTIES = {b"attempts": 3, b"since": 1_700_000_000_000, b"k": b"new", b"kept": b"yes"}


def modified(*, is_deferred: bool = False, properties: bytes = MODIFIED_PROPERTIES) -> bytes:
    """Returns the delivery state that abandons or defers a message."""
    fields = (encode.TRUE, encode.boolean(is_deferred), properties)
    return encode.described(MODIFIED, encode.list_(*fields))


def rejected(properties: bytes) -> bytes:
    """Returns the delivery state that dead-letters a message."""
    error = encode.list_(encode.symbol("any"), encode.NULL, properties)
    return encode.described(REJECTED, encode.list_(encode.described(0x1D, error)))


def oversized(name: str) -> bytes:
    """Returns properties that exceed the memory quota."""
    return encode.map_((encode.symbol(name), encode.string("x" * QUOTA)))


class Receiver:
    """A receiver that speaks raw AMQP."""

    def __init__(self, client: socket.socket, queue: str) -> None:
        self._client = client
        self._queue = queue
        client.sendall(wire.opening())

    def take(self) -> tuple[int, bytes]:
        """Returns delivery id and tag of the next message."""
        attach = wire.attach(self._queue, handle=1, receives=True)
        self._client.sendall(attach + wire.credit(1, handle=1))
        _, fields = wire.read(self._client, until=wire.TRANSFER)[-1]
        return fields[1], fields[2]

    def settle(self, state: bytes) -> int:
        """Receives and settles a message; returns the descriptor of the broker's outcome."""
        outcome = self._send(self._disposition(state))
        self._client.sendall(wire.performative(wire.DETACH, encode.uint(1)))
        wire.read(self._client, until=wire.DETACH)
        return outcome

    def settle_invalidly(self, state: bytes) -> str:
        """Receives and settles a message; returns the error that closes the connection."""
        self._client.sendall(self._disposition(state))
        return wire.condition(wire.read(self._client, until=wire.CLOSE)[-1][1])

    def request(self, operation: str, body: bytes) -> None:
        """Sends a management request, and waits until it is accepted."""
        node = f"{self._queue}/$management"
        links = wire.attach(node, handle=2) + wire.attach(node, handle=3, receives=True)
        self._client.sendall(links)
        request = wire.request(operation, body, reply_to=node)
        self._send(wire.transfer(request, handle=2))

    def _disposition(self, state: bytes) -> bytes:
        number, _ = self.take()
        fields = (encode.TRUE, encode.uint(number), encode.NULL, encode.FALSE, state)
        return wire.performative(wire.DISPOSITION, *fields)

    def _send(self, frame: bytes) -> int:
        self._client.sendall(frame)
        _, fields = wire.read(self._client, until=wire.DISPOSITION)[-1]
        return int(fields[4].descriptor)


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """A broker that accepts every token, with a small memory quota."""
    with in_thread(Broker(BrokerOptions(port=0, max_stored_bytes=QUOTA))) as running:
        yield running


@pytest.fixture
def receiver(broker: Broker, handlers: Handlers, queue: str) -> Iterator[Receiver]:
    """A receiver of a queue with one message; all other queues are empty."""
    broker.reset()
    message = ServiceBusMessage("x", application_properties={"k": "old", "kept": "yes"})
    handlers.sender(queue).send_messages(message)
    with wire.connected(broker) as client:
        yield Receiver(client, queue)


def test_abandoned_message_has_modified_properties(
    receiver: Receiver, handlers: Handlers, queue: str
) -> None:
    """Properties keep their types; others stay as they are, and a null changes nothing."""
    receiver.settle(modified())

    [message] = take(handlers.receiver(queue))

    assert properties(message) == RECEIVED_PROPERTIES


def test_deferred_message_has_modified_properties(
    receiver: Receiver, handlers: Handlers, queue: str
) -> None:
    """A deferred message has the properties that were set when it was deferred."""
    receiver.settle(modified(is_deferred=True))

    [message] = handlers.receiver(queue).receive_deferred_messages(1)

    assert properties(message) == RECEIVED_PROPERTIES


def test_dead_lettered_message_has_modified_properties(
    receiver: Receiver, handlers: Handlers, queue: str
) -> None:
    """The members of the error's info map become properties, the reason included."""
    reason = (encode.symbol("DeadLetterReason"), encode.string("worn out"))

    receiver.settle(rejected(encode.map_(reason, (encode.symbol("k"), encode.string("new")))))

    [message] = take(handlers.receiver(queue, sub_queue=DEAD_LETTERS))
    assert message.dead_letter_reason == "worn out"
    assert properties(message)[b"k"] == b"new"


@pytest.mark.parametrize(("status", "reason"), [("abandoned", None), ("suspended", "worn out")])
def test_management_operation_modifies_properties(
    receiver: Receiver, handlers: Handlers, queue: str, status: str, reason: str | None
) -> None:
    """A settlement through $management sets properties in addition to the dead-letter reason."""
    _, tag = receiver.take()
    body = encode.map_(
        (encode.string("disposition-status"), encode.string(status)),
        (encode.string("lock-tokens"), encode.list_(encode.uuid(UUID(bytes_le=tag)))),
        (encode.string("deadletter-reason"), encode.string("worn out")),
        (encode.string("properties-to-modify"), MODIFIED_PROPERTIES),
    )

    receiver.request("com.microsoft:update-disposition", body)

    options = {"sub_queue": DEAD_LETTERS} if reason else {}
    [message] = take(handlers.receiver(queue, **options))
    assert message.dead_letter_reason == reason
    assert properties(message).items() >= RECEIVED_PROPERTIES.items()


def test_memory_of_modified_properties_is_released(
    receiver: Receiver, broker: Broker, handlers: Handlers, queue: str
) -> None:
    """Completing a message also releases the memory of its properties."""
    receiver.settle(modified())
    next_receiver = handlers.receiver(queue)
    [message] = take(next_receiver)

    next_receiver.complete_message(message)

    wait_until(lambda: broker.statistics.stored_bytes == 0)


def test_properties_over_the_quota_are_refused(
    receiver: Receiver, broker: Broker, queue: str
) -> None:
    """Once the quota is used up, a settlement with properties is rejected."""
    receiver.settle(modified(properties=oversized("one")))
    before = broker.statistics.stored_bytes

    outcome = receiver.settle(modified(properties=oversized("two")))

    assert (outcome, broker.statistics.stored_bytes) == (REJECTED, before)
    assert broker.queue(queue).locked == 1


def test_messages_over_the_quota_can_be_dead_lettered(
    receiver: Receiver, broker: Broker, queue: str
) -> None:
    """Dead-lettering is allowed over the quota: a receiver could not go on otherwise."""
    receiver.settle(modified(properties=oversized("one")))

    receiver.settle(rejected(oversized("two")))

    assert broker.queue(queue).dead_lettered == 1


def test_property_name_must_be_a_string(receiver: Receiver) -> None:
    """A property name of another type closes the connection with an error."""
    invalid = encode.map_((encode.binary(b"k"), encode.string("v")))

    assert receiver.settle_invalidly(modified(properties=invalid)) == "amqp:decode-error"
