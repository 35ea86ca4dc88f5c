"""What receivers write into a message as they settle it.

The SDKs for .NET, Java and JavaScript can ("properties to modify"), that for Python cannot.
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
from tests.local.servicebus.handlers import Handlers, take, wait_until

DEAD_LETTERS = {"sub_queue": ServiceBusSubQueue.DEAD_LETTER}
ROOM = 8000
REJECTED, MODIFIED = 0x25, 0x27
WRITTEN = encode.map_(
    (encode.symbol("attempts"), encode.long(3)),
    (encode.symbol("since"), encode.timestamp(1_700_000_000_000)),
    (encode.symbol("k"), encode.string("new")),
    (encode.symbol("nothing"), encode.NULL),
)
READ = {b"attempts": 3, b"since": 1_700_000_000_000, b"k": b"new", b"kept": b"yes"}


def modified(*, is_deferred: bool = False, written: bytes = WRITTEN) -> bytes:
    """The state of a message that is to be delivered again."""
    fields = (encode.TRUE, encode.boolean(is_deferred), written)
    return encode.described(MODIFIED, encode.list_(*fields))


def rejected(written: bytes) -> bytes:
    """The state of a message that is to be dead-lettered."""
    error = encode.list_(encode.symbol("any"), encode.NULL, written)
    return encode.described(REJECTED, encode.list_(encode.described(0x1D, error)))


def long(name: str) -> bytes:
    """More than the broker has room for."""
    return encode.map_((encode.symbol(name), encode.string("x" * ROOM)))


class Receiver:
    """One that speaks bare AMQP."""

    def __init__(self, client: socket.socket, queue: str) -> None:
        self._client = client
        self._queue = queue
        client.sendall(wire.opening())

    def take(self) -> tuple[int, bytes]:
        """Number and tag of the next message."""
        attach = wire.attach(self._queue, handle=1, receives=True)
        self._client.sendall(attach + wire.credit(1, handle=1))
        _, fields = wire.read(self._client, until=wire.TRANSFER)[-1]
        return fields[1], fields[2]

    def settle(self, state: bytes) -> int:
        """Takes a message and ends its delivery so; how the broker ends it."""
        told = self._say(self._disposition(state))
        self._client.sendall(wire.performative(wire.DETACH, encode.uint(1)))
        wire.read(self._client, until=wire.DETACH)
        return told

    def end(self, state: bytes) -> str:
        """Takes a message and ends its delivery in a way that ends the connection; the error."""
        self._client.sendall(self._disposition(state))
        return wire.condition(wire.read(self._client, until=wire.CLOSE)[-1][1])

    def ask(self, operation: str, body: bytes) -> None:
        """Asks something of management, and waits until it was read."""
        node = f"{self._queue}/$management"
        links = wire.attach(node, handle=2) + wire.attach(node, handle=3, receives=True)
        self._client.sendall(links)
        request = wire.request(operation, body, reply_to=node)
        self._say(wire.transfer(request, handle=2))

    def _disposition(self, state: bytes) -> bytes:
        number, _ = self.take()
        fields = (encode.TRUE, encode.uint(number), encode.NULL, encode.FALSE, state)
        return wire.performative(wire.DISPOSITION, *fields)

    def _say(self, frame: bytes) -> int:
        self._client.sendall(frame)
        _, fields = wire.read(self._client, until=wire.DISPOSITION)[-1]
        return int(fields[4].descriptor)


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """One that lets everybody in, and keeps little."""
    with in_thread(Broker(BrokerOptions(port=0, max_stored_bytes=ROOM))) as running:
        yield running


@pytest.fixture
def receiver(broker: Broker, handlers: Handlers, queue: str) -> Iterator[Receiver]:
    """Of a queue in which there is one message, and there is none elsewhere."""
    broker.reset()
    properties = {"k": "old", "kept": "yes"}
    handlers.sender(queue).send_messages(ServiceBusMessage("x", application_properties=properties))
    with wire.connected(broker) as client:
        yield Receiver(client, queue)


def test_abandoned_message_comes_again_with_what_was_written(receiver, handlers: Handlers, queue):
    """Of its type; what was not written stays, and a null writes nothing."""
    receiver.settle(modified())

    [message] = take(handlers.receiver(queue))

    assert message.application_properties == READ


def test_deferred_message_has_what_was_written(receiver, handlers: Handlers, queue):
    """When it is asked for."""
    receiver.settle(modified(is_deferred=True))

    [message] = handlers.receiver(queue).receive_deferred_messages(1)

    assert message.application_properties == READ


def test_dead_letter_has_more_than_its_reason(receiver, handlers: Handlers, queue):
    """All that the error says beside its name."""
    reason = (encode.symbol("DeadLetterReason"), encode.string("worn out"))

    receiver.settle(rejected(encode.map_(reason, (encode.symbol("k"), encode.string("new")))))

    [message] = take(handlers.receiver(queue, **DEAD_LETTERS))
    assert message.dead_letter_reason == "worn out"
    assert message.application_properties[b"k"] == b"new"


@pytest.mark.parametrize(("status", "reason"), [("abandoned", None), ("suspended", "worn out")])
def test_management_writes_as_well(receiver, handlers: Handlers, queue, status, reason):
    """Beside the reason that a dead letter has."""
    _, tag = receiver.take()
    body = encode.map_(
        (encode.string("disposition-status"), encode.string(status)),
        (encode.string("lock-tokens"), encode.list_(encode.uuid(UUID(bytes_le=tag)))),
        (encode.string("deadletter-reason"), encode.string("worn out")),
        (encode.string("properties-to-modify"), WRITTEN),
    )

    receiver.ask("com.microsoft:update-disposition", body)

    [message] = take(handlers.receiver(queue, **(DEAD_LETTERS if reason else {})))
    assert message.dead_letter_reason == reason
    assert message.application_properties.items() >= READ.items()


def test_room_for_what_is_written_is_given_back(
    receiver, broker: Broker, handlers: Handlers, queue
):
    """With the message."""
    receiver.settle(modified())
    again = handlers.receiver(queue)
    [message] = take(again)

    again.complete_message(message)

    wait_until(lambda: broker.statistics.stored_bytes == 0)


def test_broker_that_is_full_lets_nothing_be_written(receiver, broker: Broker, queue):
    """The message stays locked, as it was; what is written first may be too much by itself."""
    receiver.settle(modified(written=long("one")))
    before = broker.statistics.stored_bytes

    told = receiver.settle(modified(written=long("two")))

    assert (told, broker.statistics.stored_bytes) == (REJECTED, before)
    assert broker.queue(queue).locked == 1


def test_broker_that_is_full_takes_dead_letters(receiver, broker: Broker, queue):
    """With their reasons: a receiver that could not get rid of a message would stand still."""
    receiver.settle(modified(written=long("one")))

    receiver.settle(rejected(long("two")))

    assert broker.queue(queue).dead_lettered == 1


def test_name_that_is_no_text_ends_the_connection(receiver):
    """With the error that says so."""
    written = encode.map_((encode.binary(b"k"), encode.string("v")))

    assert receiver.end(modified(written=written)) == "amqp:decode-error"
