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
ACCEPTED, REJECTED, MODIFIED = 0x24, 0x25, 0x27
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
        number, _ = self.take()
        fields = (encode.TRUE, encode.uint(number), encode.NULL, encode.FALSE, state)
        told = self._say(wire.performative(wire.DISPOSITION, *fields))
        self._client.sendall(wire.performative(wire.DETACH, encode.uint(1)))
        wire.read(self._client, until=wire.DETACH)
        return told

    def ask(self, operation: str, body: bytes) -> int:
        """Asks something of management; how the broker ends the delivery of the request."""
        node = f"{self._queue}/$management"
        links = wire.attach(node, handle=2) + wire.attach(node, handle=3, receives=True)
        self._client.sendall(links)
        request = wire.request(operation, body, reply_to=node)
        return self._say(wire.transfer(request, handle=2))

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
    error = encode.list_(encode.symbol("any"), encode.NULL, WRITTEN)
    state = encode.list_(encode.described(0x1D, error))

    receiver.settle(encode.described(REJECTED, state))

    [message] = take(handlers.receiver(queue, **DEAD_LETTERS))
    assert message.application_properties == READ


@pytest.mark.parametrize(
    ("status", "options"), [("abandoned", {}), ("suspended", DEAD_LETTERS)], ids=["again", "dead"]
)
def test_management_writes_as_well(receiver, handlers: Handlers, queue, status, options):
    """Beside the reason that a dead letter has."""
    _, tag = receiver.take()
    body = encode.map_(
        (encode.string("disposition-status"), encode.string(status)),
        (encode.string("lock-tokens"), encode.list_(encode.uuid(UUID(bytes_le=tag)))),
        (encode.string("properties-to-modify"), WRITTEN),
    )

    assert receiver.ask("com.microsoft:update-disposition", body) == ACCEPTED

    [message] = take(handlers.receiver(queue, **options))
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
    written = encode.map_((encode.symbol("long"), encode.string("x" * ROOM)))

    told = [receiver.settle(modified(written=written)) for _ in range(2)]

    assert told == [MODIFIED, REJECTED]
    assert broker.queue(queue).locked == 1
