"""Messages through the broker: what is sent is what is received."""

import datetime as dt
from uuid import UUID

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusReceiveMode
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageBodyType
from azure.servicebus.exceptions import (
    MessageSizeExceededError,
    MessagingEntityNotFoundError,
    ServiceBusAuthenticationError,
    ServiceBusError,
)

from local.servicebus import Broker, QueueCounts
from tests.local.servicebus.handlers import NOTHING, Handlers, body, leaves_sockets, take


def test_properties_arrive_as_they_were_sent(handlers: Handlers, queue):
    """The properties that AMQP names."""
    sent = {
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


def test_application_properties_keep_their_types(handlers: Handlers, queue):
    """They are passed on as they came."""
    values = {"int": 1, "str": "ü", "bool": True, "float": 2.5, "uuid": UUID(int=5)}
    message = ServiceBusMessage("x", application_properties=values)
    handlers.sender(queue).send_messages(message)

    [message] = take(handlers.receiver(queue))

    assert {name.decode(): value for name, value in message.application_properties.items()} == {
        **values,
        "str": "ü".encode(),
    }


def test_broker_says_when_a_message_came_and_which_it_is(handlers: Handlers, queue):
    """Sequence number, time of enqueueing, delivery count and lock."""
    handlers.sender(queue).send_messages(ServiceBusMessage("x"))
    now = dt.datetime.now(dt.UTC)

    [message] = take(handlers.receiver(queue))

    assert (message.sequence_number, message.delivery_count) == (1, 0)
    assert abs(message.enqueued_time_utc - now) < dt.timedelta(seconds=30)
    assert message.locked_until_utc - message.enqueued_time_utc > dt.timedelta(seconds=50)
    assert isinstance(message.lock_token, UUID)


def test_value_body_arrives(handlers: Handlers, queue):
    """As does an annotation of the sender's."""
    value = {"a": [1, 2, {"b": None}]}
    sent = AmqpAnnotatedMessage(value_body=value, annotations={"x-mine": 7})
    handlers.sender(queue).send_messages(sent)

    [message] = take(handlers.receiver(queue))

    assert message.body_type is AmqpMessageBodyType.VALUE
    assert message.body == {b"a": [1, 2, {b"b": None}]}
    assert message.raw_amqp_message.annotations[b"x-mine"] == 7


def test_sequence_body_arrives(handlers: Handlers, queue):
    """And the footer behind it does no harm."""
    sent = AmqpAnnotatedMessage(sequence_body=[[1, "two"]], footer={"f": 1})
    handlers.sender(queue).send_messages(sent)

    [message] = take(handlers.receiver(queue))

    assert message.body_type is AmqpMessageBodyType.SEQUENCE
    assert list(message.body) == [[1, b"two"]]


def test_list_arrives_in_order(handlers: Handlers, queue):
    """A list is one batch and many messages."""
    texts = [str(number) for number in range(100)]
    handlers.sender(queue).send_messages([ServiceBusMessage(text) for text in texts])

    messages = take(handlers.receiver(queue), 100)

    assert [str(message) for message in messages] == texts


def fill(batch):
    """Adds messages until no other fits."""
    while True:
        batch.add_message(ServiceBusMessage("x" * 1000))


def test_full_batch_is_taken_whole(handlers: Handlers, broker: Broker, queue):
    """A batch has the size that the link allows, and the broker takes all of it."""
    sender = handlers.sender(queue)
    batch = sender.create_message_batch()
    with pytest.raises(MessageSizeExceededError):
        fill(batch)

    sender.send_messages(batch)

    assert batch.max_size_in_bytes == 256 * 1024
    assert broker.queue(queue) == QueueCounts(active=len(batch))
    assert len(batch) > 200


def test_message_of_many_frames_arrives(handlers: Handlers, queue):
    """Both ways it needs several transfers."""
    data = bytes(range(256)) * 900
    handlers.sender(queue).send_messages([ServiceBusMessage(data)])

    [message] = take(handlers.receiver(queue))

    assert body(message) == data


@leaves_sockets
def test_message_over_the_limit_is_refused(handlers: Handlers, queue):
    """And the link goes on."""
    sender = handlers.sender(queue)

    with pytest.raises(MessageSizeExceededError):
        sender.send_messages(ServiceBusMessage(b"x" * 300_000))
    sender.send_messages(ServiceBusMessage("after"))

    assert [str(message) for message in take(handlers.receiver(queue))] == ["after"]


def test_receive_and_delete_takes_messages_at_once(handlers: Handlers, broker: Broker, queue):
    """Nothing is left to settle."""
    handlers.sender(queue).send_messages([ServiceBusMessage("x")] * 3)
    mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE

    take(handlers.receiver(queue, receive_mode=mode), 3)

    assert broker.queue(queue) == QueueCounts()


def test_iterator_yields_every_message(handlers: Handlers, queue):
    """It ends once none has come for a while."""
    texts = [str(number) for number in range(20)]
    handlers.sender(queue).send_messages([ServiceBusMessage(text) for text in texts])
    receiver = handlers.receiver(queue, max_wait_time=NOTHING)
    received = []

    for message in receiver:
        received.append(str(message))
        receiver.complete_message(message)

    assert received == texts


def test_prefetched_messages_go_back_on_close(
    handlers: Handlers, client: ServiceBusClient, broker: Broker, queue
):
    """What was never handed out has not been delivered."""
    handlers.sender(queue).send_messages([ServiceBusMessage(str(n)) for n in range(50)])
    with client.get_queue_receiver(queue, prefetch_count=20) as receiver:
        for message in take(receiver, 5):
            receiver.complete_message(message)

    [message] = take(handlers.receiver(queue))

    assert (str(message), message.delivery_count) == ("5", 0)
    assert broker.queue(queue) == QueueCounts(active=44, locked=1)


def test_dead_letter_queue_cannot_be_sent_to(handlers: Handlers, queue):
    """It is fed by its queue alone."""
    sender = handlers.sender(f"{queue}/$DeadLetterQueue")

    with pytest.raises(ServiceBusError, match="dead-letter"):
        sender.send_messages(ServiceBusMessage("x"))


def test_unknown_queue_is_not_found(handlers: Handlers):
    """Unless the broker makes queues when they are first named."""
    sender = handlers.sender("nowhere")

    with pytest.raises(MessagingEntityNotFoundError, match="nowhere"):
        sender.send_messages(ServiceBusMessage("x"))


def test_wrong_key_is_refused(broker: Broker, queue):
    """The signature of the token is checked."""
    wrong = broker.connection_string.replace("SAS_KEY_VALUE", "WRONG")

    with (
        pytest.raises(ServiceBusAuthenticationError),
        ServiceBusClient.from_connection_string(wrong, retry_total=0, try_timeout=5) as client,
        client.get_queue_sender(queue) as sender,
    ):
        sender.send_messages(ServiceBusMessage("x"))
