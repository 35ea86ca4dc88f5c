"""Raw AMQP: protocol headers, heartbeats, and malformed frames and messages."""

import random
import time

import pytest

from local.servicebus import Broker, BrokerOptions, QueueCounts
from local.servicebus.amqp import encode, frames
from local.threads import in_thread
from tests.local.servicebus import wire
from tests.local.servicebus.handlers import wait_until

SEED = 20261121
MUTATIONS = 300


def test_other_protocol_is_answered_with_a_header(broker: Broker) -> None:
    """The broker answers with a header that it supports, and closes the connection."""
    with wire.connected(broker) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")

        answer = client.recv(100)

        assert answer == frames.SASL_HEADER
        assert client.recv(100) == b""


def test_sasl_offers_anonymous(broker: Broker) -> None:
    """ANONYMOUS is a SASL mechanism, and succeeds: clients authenticate by their token."""
    init = encode.described(0x41, encode.list_(encode.symbol("ANONYMOUS")))
    with wire.connected(broker) as client:
        client.sendall(frames.SASL_HEADER + frames.frame(0, init, kind=1))

        [(mechanisms, [names]), (outcome, [code])] = wire.read(client, until=0x44)

    assert (mechanisms, outcome, code) == (0x40, 0x44, 0)
    assert "ANONYMOUS" in names


def test_broker_sends_heartbeats(broker: Broker) -> None:
    """A client with an idle time-out is sent empty frames."""
    with wire.connected(broker) as client:
        client.sendall(wire.opening(idle_time_out=encode.uint(50)))

        frames = wire.read(client, until=0)

    assert frames[0][0] == wire.OPEN


def test_idle_connection_is_closed() -> None:
    """A client that sends nothing is closed with an error."""
    options = BrokerOptions(port=0, idle_time_out=0.05)
    with in_thread(Broker(options)) as broker, wire.connected(broker) as client:
        client.sendall(wire.opening())

        frames = wire.read(client)

    assert frames[-1][0] == wire.CLOSE
    assert wire.condition(frames[-1][1]) == "amqp:connection:forced"


def test_latency_delays_responses() -> None:
    """Everything that the broker sends is delayed by the latency."""
    options = BrokerOptions(port=0, latency=0.2)
    with in_thread(Broker(options)) as broker, wire.connected(broker) as client:
        client.sendall(wire.opening())
        started = time.monotonic()

        frames = wire.read(client, until=wire.BEGIN)

        took = time.monotonic() - started
    assert [code for code, _ in frames] == [wire.OPEN, wire.BEGIN]
    assert took > options.latency * 0.9


@pytest.mark.parametrize(
    ("frame", "condition"),
    [
        pytest.param(b"\x7f\xff\xff\xff\x02\x00\x00\x00", "framing-error", id="huge"),
        pytest.param(b"\x00\x00\x00\x01\x02\x00\x00\x00", "framing-error", id="tiny"),
        pytest.param(frames.frame(0, b"\x00\x53\x99\x45"), "framing-error", id="unknown"),
        pytest.param(frames.frame(0, b"\x00\x53\x13\xc0\xff"), "decode-error", id="cut off"),
        pytest.param(wire.performative(wire.FLOW), "invalid-field", id="no fields"),
        pytest.param(
            wire.performative(wire.DETACH, encode.string("x")), "invalid-field", id="wrong type"
        ),
        pytest.param(wire.attach("$cbs") + wire.attach("$cbs"), "handle-in-use", id="same handle"),
    ],
)
def test_malformed_frame_closes_its_connection(
    broker: Broker, frame: bytes, condition: str
) -> None:
    """The connection is closed with the error condition."""
    with wire.connected(broker) as client:
        client.sendall(wire.opening() + frame)

        code, fields = wire.read(client)[-1]

    assert code == wire.CLOSE
    assert wire.condition(fields).endswith(condition)


def test_malformed_message_is_rejected(broker: Broker, queue: str) -> None:
    """The link stays attached, and accepts the next message."""
    with wire.connected(broker) as client:
        client.sendall(wire.opening() + wire.attach(queue))
        client.sendall(wire.transfer(b"\x00\x53\x75\xa0\xff") + wire.transfer(wire.message(b"x")))

        wait_until(lambda: broker.queue(queue) == QueueCounts(active=1))
        code, fields = wire.read(client, until=wire.DISPOSITION)[-1]

    assert code == wire.DISPOSITION
    assert fields[4].descriptor in (0x24, 0x25)


def test_delivery_over_the_limit_is_rejected(broker: Broker, queue: str) -> None:
    """A delivery of many transfers must not exceed the limit for a message."""
    part = b"x" * 60_000
    with wire.connected(broker) as client:
        client.sendall(wire.opening() + wire.attach(queue))
        client.sendall(b"".join(wire.transfer(part, more=True) for _ in range(20)))
        client.sendall(wire.transfer(part))

        _, fields = wire.read(client, until=wire.DISPOSITION)[-1]

    assert fields[4].descriptor == 0x25
    assert broker.queue(queue) == QueueCounts()


def test_incomplete_delivery_is_discarded_with_its_link(broker: Broker, queue: str) -> None:
    """The memory of a delivery without its last transfer is released."""
    before = broker.statistics.stored_bytes
    with wire.connected(broker) as client:
        client.sendall(wire.opening() + wire.attach(queue))
        client.sendall(wire.transfer(b"x" * 60_000, more=True))
        wait_until(lambda: broker.statistics.stored_bytes > before)

    wait_until(lambda: broker.statistics.stored_bytes == before)


def conversation(queue: str) -> bytes:
    """Returns the frames of a client that sends, receives, settles and manages."""
    second_open = frames.frame(0, encode.described(0x10, encode.list_(encode.string("test"))))
    properties = encode.map_((encode.symbol("k"), encode.string("v")))
    modified = encode.described(0x27, encode.list_(encode.TRUE, encode.FALSE, properties))
    settled = (encode.TRUE, encode.uint(0), encode.NULL, encode.TRUE, modified)
    return b"".join(
        (
            wire.opening(),
            wire.attach(queue, handle=0),
            wire.attach(queue, handle=1, receives=True),
            wire.attach(f"{queue}/$management", handle=2),
            wire.transfer(wire.message(b"hello"), delivery=0),
            wire.credit(10, handle=1),
            wire.transfer(wire.message(b"not a request"), handle=2, delivery=1),
            wire.performative(wire.DISPOSITION, *settled),
            wire.performative(wire.DETACH, encode.uint(0)),
            second_open,
        )
    )


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Returns `data` with some bytes changed, removed or added."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(8, len(changed))
        kind = rng.randrange(3)
        if kind == 0:
            changed[at] = rng.randrange(256)
        elif kind == 1:
            del changed[at : at + rng.randint(1, 4)]
        else:
            changed[at:at] = rng.randbytes(rng.randint(1, 4))
    return bytes(changed)


def test_broker_survives_malformed_data(caplog: pytest.LogCaptureFixture) -> None:
    """Mutated conversations close their own connections, and nothing else."""
    rng = random.Random(SEED)  # noqa: S311 - repeatable on purpose
    with in_thread(Broker(BrokerOptions(port=0, max_queues=50))) as broker:
        for _ in range(MUTATIONS):
            with wire.connected(broker) as client:
                client.sendall(mutated(conversation("fuzz"), rng))

        wait_until(lambda: broker.statistics.connections == 0)
        with wire.connected(broker) as client:
            client.sendall(wire.opening() + wire.attach("after"))
            client.sendall(wire.transfer(wire.message(b"x")))
            wire.read(client, until=wire.DISPOSITION)

        assert broker.queue("after") == QueueCounts(active=1)
        assert broker.statistics.malformed > MUTATIONS / 10
    assert [record for record in caplog.records if record.exc_info] == []
