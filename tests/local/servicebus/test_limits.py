"""Limits: memory, message sizes, connections, queues and slow clients."""

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage
from azure.servicebus.exceptions import ServiceBusError, ServiceBusQuotaExceededError

from local.servicebus import Broker, BrokerOptions, QueueCounts, QueueOptions
from local.servicebus.amqp import encode
from local.threads import in_thread
from tests.local.servicebus import wire
from tests.local.servicebus.handlers import CLIENT, NewQueue, leaves_sockets, wait_until


def client_of(broker: Broker) -> ServiceBusClient:
    return ServiceBusClient.from_connection_string(broker.connection_string, **CLIENT)


def test_messages_over_the_quota_are_refused() -> None:
    """The error names the quota, and messages are accepted again once there is space."""
    with in_thread(Broker(BrokerOptions(port=0, max_stored_bytes=20_000))) as broker:
        with client_of(broker) as client, client.get_queue_sender("queue") as sender:
            sender.send_messages(ServiceBusMessage(b"x" * 15_000))
            with pytest.raises(ServiceBusQuotaExceededError, match="must not exceed 20000"):
                sender.send_messages(ServiceBusMessage(b"x" * 15_000))
            with client.get_queue_receiver("queue", receive_mode="receiveanddelete") as receiver:
                receiver.receive_messages(max_wait_time=5)

            sender.send_messages(ServiceBusMessage(b"x" * 15_000))

        assert broker.queue("queue") == QueueCounts(active=1)


def test_batch_is_stored_whole_or_not_at_all() -> None:
    """A batch that exceeds the quota leaves none of its messages."""
    with in_thread(Broker(BrokerOptions(port=0, max_stored_bytes=20_000))) as broker:
        with (
            client_of(broker) as client,
            client.get_queue_sender("queue") as sender,
            pytest.raises(ServiceBusQuotaExceededError),
        ):
            sender.send_messages([ServiceBusMessage(b"x" * 5_000)] * 5)

        assert broker.queue("queue") == QueueCounts()
        assert broker.statistics.stored_bytes == 0


def test_expired_message_leaves_nothing(broker: Broker, new_queue: NewQueue) -> None:
    """Neither its bytes nor, after the duplicate detection window, its id stay in memory."""
    before = broker.statistics.stored_bytes
    queue = new_queue(duplicate_detection=30, time_to_live=10)
    with client_of(broker) as client, client.get_queue_sender(queue) as sender:
        sender.send_messages([ServiceBusMessage("x", message_id=str(n)) for n in range(10)])
        broker.advance(31)
        sender.send_messages(ServiceBusMessage("y", message_id="y"))

    broker.reset()

    assert before == broker.statistics.stored_bytes == 0


@leaves_sockets
def test_connection_over_the_limit_is_refused() -> None:
    """It is closed with an error, and the other connections stay open."""
    with in_thread(Broker(BrokerOptions(port=0, max_connections=1))) as broker:
        with wire.connected(broker) as first, wire.connected(broker) as second:
            first.sendall(wire.opening())
            wire.read(first, until=wire.BEGIN)
            second.sendall(wire.opening())

            code, fields = wire.read(second)[-1]

        assert code == wire.CLOSE
        assert wire.condition(fields) == "amqp:resource-limit-exceeded"
        assert broker.statistics.connections_refused == 1


def test_queue_over_the_limit_is_not_created() -> None:
    """Queues are created on first use only up to the limit."""
    options = BrokerOptions(port=0, queues={"one": QueueOptions()}, max_queues=1)
    with in_thread(Broker(options)) as broker, client_of(broker) as client:
        sender = client.get_queue_sender("two")

        with pytest.raises(ServiceBusError, match="max_queues"):
            sender.send_messages(ServiceBusMessage("x"))


def test_slow_client_is_sent_no_more_messages(broker: Broker, queue: str) -> None:
    """Messages stay in the queue while a client with credit does not read."""
    with client_of(broker) as client, client.get_queue_sender(queue) as sender:
        for _ in range(60):
            sender.send_messages(ServiceBusMessage(b"x" * 250_000))
    window = [encode.uint(number) for number in (1, 2**31, 0, 5000, 0, 0, 1000)]
    with wire.connected(broker) as slow:
        slow.sendall(wire.opening() + wire.attach(queue, receives=True))
        slow.sendall(wire.performative(wire.FLOW, *window))

        wait_until(lambda: broker.queue(queue).locked > 0)

        assert broker.queue(queue).active > 0
    broker.reset()
