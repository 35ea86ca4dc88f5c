"""Messages through the broker: what is sent is what is received."""

import datetime as dt
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import pytest
from azure.servicebus import (
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusMessageBatch,
    ServiceBusReceivedMessage,
    ServiceBusReceiveMode,
)
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageBodyType
from azure.servicebus.exceptions import (
    MessageSizeExceededError,
    ServiceBusAuthenticationError,
    ServiceBusError,
)

from local.servicebus import Broker, QueueCounts
from tests.local.servicebus.handlers import (
    SHORT_WAIT,
    Handlers,
    leaves_sockets,
    properties,
    take,
)


def test_amqp_properties_are_kept(handlers: Handlers, queue: str) -> None:
    """The properties section arrives as it was sent."""
    sent: dict[str, Any] = {
        "subject": "subject",
        "content_type": "application/json",
        "correlation_id": "correlation",
        "message_id": "message",
        "reply_to": "reply",
        "to": "to",
        "partition_key": "partition",
        "time_to_live": dt.timedelta(seconds=100),
    }
    handlers.sender(queue).send_messages(ServiceBusMessage("x", **sent))

    [message] = take(handlers.receiver(queue))

    assert {name: getattr(message, name) for name in sent} == sent


def test_application_properties_keep_their_types(handlers: Handlers, queue: str) -> None:
    """Application properties arrive with the AMQP types that they were sent with."""
    values: dict[str | bytes, Any] = {
        "int": 1,
        "str": "ü",
        "bool": True,
        "float": 2.5,
        "uuid": UUID(int=5),
    }
    message = ServiceBusMessage("x", application_properties=values)
    handlers.sender(queue).send_messages(message)

    [received] = take(handlers.receiver(queue))

    expected = {**values, "str": "ü".encode()}
    assert properties(received) == {str(name).encode(): expected[name] for name in expected}


@pytest.mark.parametrize("value", [{"a": 1}, [1], {"TYPE": "ARRAY", "VALUE": [1]}, {}])
def test_compound_application_property_is_refused(
    handlers: Handlers, broker: Broker, queue: str, value: Any
) -> None:
    """A map, list or array: application properties are simple types (AMQP part 3, 3.2.5)."""
    message = ServiceBusMessage("x", application_properties={"lines": value})

    with pytest.raises(ServiceBusError, match="'lines' must not be a list, map or array"):
        handlers.sender(queue).send_messages(message)

    assert broker.queue(queue) == QueueCounts()


def test_broker_sets_annotations(handlers: Handlers, queue: str) -> None:
    """A received message has sequence number, enqueued time, delivery count and lock."""
    handlers.sender(queue).send_messages(ServiceBusMessage("x"))
    now = dt.datetime.now(dt.UTC)

    [message] = take(handlers.receiver(queue))

    enqueued, locked_until = message.enqueued_time_utc, message.locked_until_utc
    assert (message.sequence_number, message.delivery_count) == (1, 0)
    assert enqueued is not None
    assert locked_until is not None
    assert abs(enqueued - now) < dt.timedelta(seconds=30)
    assert locked_until - enqueued > dt.timedelta(seconds=50)
    assert isinstance(message.lock_token, UUID)


def test_value_body_and_annotations_are_kept(handlers: Handlers, queue: str) -> None:
    """An AMQP value body and the sender's annotations arrive as they were sent."""
    value = {"a": [1, 2, {"b": None}]}
    sent = AmqpAnnotatedMessage(value_body=value, annotations={"x-mine": 7})
    handlers.sender(queue).send_messages(sent)

    [message] = take(handlers.receiver(queue))

    annotations = message.raw_amqp_message.annotations
    assert message.body_type is AmqpMessageBodyType.VALUE
    assert message.body == {b"a": [1, 2, {b"b": None}]}
    assert annotations is not None
    assert annotations[b"x-mine"] == 7


def test_sequence_body_is_kept(handlers: Handlers, queue: str) -> None:
    """An AMQP sequence body with a footer arrives as it was sent."""
    sent = AmqpAnnotatedMessage(sequence_body=[[1, "two"]], footer={"f": 1})
    handlers.sender(queue).send_messages(sent)

    [message] = take(handlers.receiver(queue))

    assert message.body_type is AmqpMessageBodyType.SEQUENCE
    assert list(message.body) == [[1, b"two"]]


def fill(batch: ServiceBusMessageBatch) -> None:
    """Adds messages until no more fits."""
    while True:
        batch.add_message(ServiceBusMessage("x" * 1000))


def test_full_batch_is_stored_whole(handlers: Handlers, broker: Broker, queue: str) -> None:
    """A batch may be as large as the link announces."""
    sender = handlers.sender(queue)
    batch = sender.create_message_batch()
    with pytest.raises(MessageSizeExceededError):
        fill(batch)

    sender.send_messages(batch)

    assert batch.max_size_in_bytes == 256 * 1024
    assert broker.queue(queue) == QueueCounts(active=len(batch))
    assert len(batch) > 200


def test_message_of_many_frames_arrives(handlers: Handlers, queue: str) -> None:
    """A message that needs several transfers is received as it was sent."""
    data = bytes(range(256)) * 900
    handlers.sender(queue).send_messages([ServiceBusMessage(data)])

    [message] = take(handlers.receiver(queue))

    assert body(message) == data


def body(message: ServiceBusReceivedMessage) -> bytes:
    """Returns the data of a message."""
    parts: Iterable[bytes] = message.body
    return b"".join(parts)


@leaves_sockets
def test_message_over_the_limit_is_refused(handlers: Handlers, queue: str) -> None:
    """A message that is too large raises, and the sender can go on."""
    sender = handlers.sender(queue)

    with pytest.raises(MessageSizeExceededError):
        sender.send_messages(ServiceBusMessage(b"x" * 300_000))
    sender.send_messages(ServiceBusMessage("after"))

    assert [str(message) for message in take(handlers.receiver(queue))] == ["after"]


def test_receive_and_delete_leaves_nothing(handlers: Handlers, broker: Broker, queue: str) -> None:
    """In receive-and-delete mode, a received message is no longer in the queue."""
    handlers.sender(queue).send_messages([ServiceBusMessage("x")] * 3)
    mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE

    take(handlers.receiver(queue, receive_mode=mode), 3)

    assert broker.queue(queue) == QueueCounts()


def test_iterator_yields_every_message(handlers: Handlers, queue: str) -> None:
    """Iterating yields a list's messages in order, until none has arrived for max_wait_time."""
    texts = [str(number) for number in range(20)]
    handlers.sender(queue).send_messages([ServiceBusMessage(text) for text in texts])
    receiver = handlers.receiver(queue, max_wait_time=SHORT_WAIT)
    received = []

    for message in receiver:
        received.append(str(message))
        receiver.complete_message(message)

    assert received == texts


def test_prefetched_messages_are_released_on_close(
    handlers: Handlers, client: ServiceBusClient, broker: Broker, queue: str
) -> None:
    """A prefetched message that was not received does not count as delivered."""
    handlers.sender(queue).send_messages([ServiceBusMessage(str(n)) for n in range(50)])
    with client.get_queue_receiver(queue, prefetch_count=20) as receiver:
        for message in take(receiver, 5):
            receiver.complete_message(message)

    [message] = take(handlers.receiver(queue))

    assert (str(message), message.delivery_count) == ("5", 0)
    assert broker.queue(queue) == QueueCounts(active=44, locked=1)


def test_dead_letter_queue_cannot_be_sent_to(handlers: Handlers, queue: str) -> None:
    """A send to a dead-letter queue raises."""
    sender = handlers.sender(f"{queue}/$DeadLetterQueue")

    with pytest.raises(ServiceBusError, match="dead-letter"):
        sender.send_messages(ServiceBusMessage("x"))


def test_unknown_queue_is_not_found(handlers: Handlers) -> None:
    """Without auto-create, the token for an unknown queue is refused, as in Azure."""
    sender = handlers.sender("nowhere")

    with pytest.raises(ServiceBusAuthenticationError) as raised:
        sender.send_messages(ServiceBusMessage("x"))

    refusal = raised.value.inner_exception
    assert getattr(refusal, "status_code", None) == 404
    assert "'nowhere' could not be found" in str(refusal)


def test_wrong_key_is_refused(broker: Broker, queue: str) -> None:
    """The signature of the token is checked."""
    wrong = broker.connection_string.replace("SAS_KEY_VALUE", "WRONG")

    with (
        pytest.raises(ServiceBusAuthenticationError),
        ServiceBusClient.from_connection_string(wrong, retry_total=0, try_timeout=5) as client,
        client.get_queue_sender(queue) as sender,
    ):
        sender.send_messages(ServiceBusMessage("x"))
