"""AMQP as other clients may speak it, and what only looks like it."""

import random

import pytest

from local.servicebus import Broker, BrokerOptions, QueueCounts
from local.servicebus.amqp import encode, frames
from local.threads import in_thread
from tests.local.servicebus import wire
from tests.local.servicebus.handlers import wait_until

SEED = 20261121
MUTATIONS = 300


def test_wrong_protocol_is_told_the_right_one(broker: Broker):
    """And the connection ends."""
    with wire.connected(broker) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")

        answer = client.recv(100)

        assert answer == frames.SASL_HEADER
        assert client.recv(100) == b""


def test_sasl_offers_anonymous(broker: Broker):
    """And lets everyone in: it is the token that counts."""
    init = encode.described(0x41, encode.list_(encode.symbol("ANONYMOUS")))
    with wire.connected(broker) as client:
        client.sendall(frames.SASL_HEADER + frames.frame(0, init, kind=1))

        [(mechanisms, [names]), (outcome, [code])] = wire.read(client, until=0x44)

    assert (mechanisms, outcome, code) == (0x40, 0x44, 0)
    assert "ANONYMOUS" in names


def test_heartbeats_come_as_often_as_the_client_wants(broker: Broker):
    """Empty frames, twice within its idle time-out."""
    with wire.connected(broker) as client:
        client.sendall(wire.opening(idle_time_out=encode.uint(50)))

        seen = wire.read(client, until=0)

    assert seen[0][0] == wire.OPEN


def test_client_that_says_nothing_is_let_go():
    """After twice the time-out that it was told."""
    options = BrokerOptions(port=0, idle_time_out=0.05)
    with in_thread(Broker(options)) as broker, wire.connected(broker) as client:
        client.sendall(wire.opening())

        seen = wire.read(client)

    assert seen[-1][0] == wire.CLOSE
    assert wire.condition(seen[-1][1]) == "amqp:connection:forced"


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
def test_malformed_frame_ends_its_connection(broker: Broker, frame, condition):
    """The client is told why."""
    with wire.connected(broker) as client:
        client.sendall(wire.opening() + frame)

        code, fields = wire.read(client)[-1]

    assert code == wire.CLOSE
    assert wire.condition(fields).endswith(condition)


def test_malformed_message_is_rejected(broker: Broker, queue):
    """The link and the connection go on."""
    with wire.connected(broker) as client:
        client.sendall(wire.opening() + wire.attach(queue))
        client.sendall(wire.transfer(b"\x00\x53\x75\xa0\xff") + wire.transfer(wire.message(b"x")))

        wait_until(lambda: broker.queue(queue) == QueueCounts(active=1))
        code, fields = wire.read(client, until=wire.DISPOSITION)[-1]

    assert code == wire.DISPOSITION
    assert fields[4].descriptor in (0x24, 0x25)


def test_delivery_that_grows_past_the_limit_is_not_kept(broker: Broker, queue):
    """However many frames it has, the broker holds no more of it than a message may have."""
    part = b"x" * 60_000
    with wire.connected(broker) as client:
        client.sendall(wire.opening() + wire.attach(queue))
        client.sendall(b"".join(wire.transfer(part, more=True) for _ in range(20)))
        client.sendall(wire.transfer(part))

        _, fields = wire.read(client, until=wire.DISPOSITION)[-1]

    assert fields[4].descriptor == 0x25
    assert broker.queue(queue) == QueueCounts()


def test_half_a_delivery_is_forgotten_with_its_link(broker: Broker, queue):
    """Its memory is given back."""
    before = broker.statistics.stored_bytes
    with wire.connected(broker) as client:
        client.sendall(wire.opening() + wire.attach(queue))
        client.sendall(wire.transfer(b"x" * 60_000, more=True))
        wait_until(lambda: broker.statistics.stored_bytes > before)

    wait_until(lambda: broker.statistics.stored_bytes == before)


def conversation(queue: str) -> bytes:
    """What a client that sends, receives and asks would say."""
    token = frames.frame(0, encode.described(0x10, encode.list_(encode.string("test"))))
    written = encode.map_((encode.symbol("k"), encode.string("v")))
    modified = encode.described(0x27, encode.list_(encode.TRUE, encode.FALSE, written))
    settled = (encode.TRUE, encode.uint(0), encode.NULL, encode.TRUE, modified)
    return b"".join(
        (
            wire.opening(),
            wire.attach(queue, handle=0),
            wire.attach(queue, handle=1, receives=True),
            wire.attach(f"{queue}/$management", handle=2),
            wire.transfer(wire.message(b"hello"), delivery=0),
            wire.credit(10, handle=1),
            wire.transfer(wire.message(b"no request"), handle=2, delivery=1),
            wire.performative(wire.DISPOSITION, *settled),
            wire.performative(wire.DETACH, encode.uint(0)),
            token,
        )
    )


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The same with some bytes changed, lost or come."""
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


def test_broker_survives_what_is_malformed(caplog):
    """No mutated conversation ends anything but its own connection."""
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
