"""What the broker does not take, and how it says so; how it ends."""

import contextlib
import time

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage
from azure.servicebus.exceptions import ServiceBusError, ServiceBusQuotaExceededError

from local.servicebus import Broker, BrokerOptions, QueueCounts, QueueOptions
from local.servicebus.amqp import encode
from local.threads import in_thread
from tests.local.servicebus import wire
from tests.local.servicebus.conftest import CLIENT
from tests.local.servicebus.handlers import leaves_sockets, wait_until


def client_of(broker: Broker) -> ServiceBusClient:
    return ServiceBusClient.from_connection_string(broker.connection_string, **CLIENT)


def test_full_broker_refuses_messages():
    """It says how much it holds, and takes them again once there is room."""
    with in_thread(Broker(BrokerOptions(port=0, max_stored_bytes=20_000))) as broker:
        with client_of(broker) as client, client.get_queue_sender("queue") as sender:
            sender.send_messages(ServiceBusMessage(b"x" * 15_000))
            with pytest.raises(ServiceBusQuotaExceededError, match="may hold 20000"):
                sender.send_messages(ServiceBusMessage(b"x" * 15_000))
            with client.get_queue_receiver("queue", receive_mode="receiveanddelete") as receiver:
                receiver.receive_messages(max_wait_time=5)

            sender.send_messages(ServiceBusMessage(b"x" * 15_000))

        assert broker.queue("queue") == QueueCounts(active=1)


def test_batch_is_taken_whole_or_not_at_all():
    """When there is room for some of its messages only."""
    with in_thread(Broker(BrokerOptions(port=0, max_stored_bytes=20_000))) as broker:
        with (
            client_of(broker) as client,
            client.get_queue_sender("queue") as sender,
            pytest.raises(ServiceBusQuotaExceededError),
        ):
            sender.send_messages([ServiceBusMessage(b"x" * 5_000)] * 5)

        assert broker.queue("queue") == QueueCounts()
        assert broker.statistics.stored_bytes == 0


def test_nothing_is_left_of_a_message_that_is_gone(broker: Broker, new_queue):
    """Neither its bytes nor its id, after the time for which that is remembered."""
    before = broker.statistics.stored_bytes
    queue = new_queue(duplicate_detection=30, time_to_live=10)
    with client_of(broker) as client, client.get_queue_sender(queue) as sender:
        sender.send_messages([ServiceBusMessage("x", message_id=str(n)) for n in range(10)])
        broker.advance(31)
        sender.send_messages(ServiceBusMessage("y", message_id="y"))

    broker.reset()

    assert before == broker.statistics.stored_bytes == 0


@leaves_sockets
def test_connection_too_many_is_refused():
    """It is told why, and the others go on."""
    with in_thread(Broker(BrokerOptions(port=0, max_connections=1))) as broker:
        with wire.connected(broker) as first, wire.connected(broker) as second:
            first.sendall(wire.opening())
            wire.read(first, until=wire.BEGIN)
            second.sendall(wire.opening())

            code, fields = wire.read(second)[-1]

        assert code == wire.CLOSE
        assert wire.condition(fields) == "amqp:resource-limit-exceeded"
        assert broker.statistics.connections_refused == 1


def test_queue_too_many_is_refused():
    """Queues that are made when they are named need a bound as well."""
    options = BrokerOptions(port=0, queues={"one": QueueOptions()}, max_queues=1)
    with in_thread(Broker(options)) as broker, client_of(broker) as client:
        sender = client.get_queue_sender("two")

        with pytest.raises(ServiceBusError, match="max_queues"):
            sender.send_messages(ServiceBusMessage("x"))


def test_client_that_does_not_read_is_sent_no_more(broker: Broker, queue):
    """The rest of the messages stays in the queue."""
    with client_of(broker) as client, client.get_queue_sender(queue) as sender:
        for _ in range(60):
            sender.send_messages(ServiceBusMessage(b"x" * 250_000))
    window = [encode.uint(number) for number in (1, 2**31, 0, 5000, 0, 0, 1000)]
    with wire.connected(broker) as client:
        client.sendall(wire.opening() + wire.attach(queue, receives=True))
        client.sendall(wire.performative(wire.FLOW, *window))

        wait_until(lambda: broker.queue(queue).locked > 0)

        assert broker.queue(queue).active > 0
    broker.reset()


def test_latency_delays_what_the_broker_says():
    """Each answer by as much."""
    options = BrokerOptions(port=0, latency=0.2)
    with in_thread(Broker(options)) as broker, wire.connected(broker) as client:
        client.sendall(wire.opening())
        started = time.monotonic()

        seen = wire.read(client, until=wire.BEGIN)

        took = time.monotonic() - started
    assert [code for code, _ in seen] == [wire.OPEN, wire.BEGIN]
    assert took > options.latency * 0.9


def test_stopping_says_goodbye():
    """To each client, with the reason."""
    broker = Broker(BrokerOptions(port=0))
    with contextlib.ExitStack() as running:
        running.enter_context(in_thread(broker))
        with wire.connected(broker) as client:
            client.sendall(wire.opening())
            wire.read(client, until=wire.BEGIN)
            running.close()

            code, fields = wire.read(client)[-1]

    assert code == wire.CLOSE
    assert wire.condition(fields) == "amqp:connection:forced"


def test_queue_exists_once(broker: Broker, queue):
    """Names are told apart without case."""
    with pytest.raises(ValueError, match="already"):
        broker.add_queue(queue.upper())


def test_unknown_queue_has_no_counts(broker: Broker):
    """Asking does not make it."""
    with pytest.raises(KeyError):
        broker.queue("nowhere")


@pytest.mark.parametrize(
    "options",
    [
        {"lock_duration": 0},
        {"max_delivery_count": 0},
        {"time_to_live": 0},
        {"duplicate_detection": -1},
    ],
    ids=lambda options: next(iter(options)),
)
def test_options_must_make_sense(options):
    """They are checked where they are made."""
    with pytest.raises(ValueError, match=r"must|cannot"):
        QueueOptions(**options)


@pytest.mark.parametrize("name", ["", "-a", "a b", "$cbs", "x" * 261])
def test_names_must_be_names(name):
    """Those of Service Bus."""
    with pytest.raises(ValueError, match="no name"):
        BrokerOptions(queues={name: QueueOptions()})
