"""What a message costs the Service Bus broker in CPU time: python bench/servicebus_broker.py.

The broker runs in a process of its own and is driven by the unmodified SDK. The exit code is 1 if
a message costs more than its limit. The counts are fixed, so it ends by itself.

The row "bare echo" is what this machine charges now for asyncio, the system calls and the waking of
an idle processor: a server that only answers, given frames as large as those of the single sends, at
their pace. That alone may differ by four times, so the limit of these is for what they cost above it.
"""

import asyncio
import multiprocessing
import resource
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from azure.servicebus import (
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusReceiver,
    ServiceBusSender,
)

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from local.servicebus import Broker, BrokerOptions
from local.threads import in_thread

Sendable = ServiceBusMessage | list[ServiceBusMessage]

QUEUE, BODY = "bench", b"x" * 256
FRAME, ANSWER = b"y" * 357, b"z" * 26  # as long as a transfer of BODY and its disposition
ROUNDS = 7  # of which the best counts, case by case: others may be using the machine
SINGLES, BATCHES, BATCH = 2_000, 50, 100
SINGLE_LIMIT, BATCH_LIMIT = 50.0, 10.0  # microseconds of CPU for each message
RECEIVE_WITHIN = 10.0  # seconds


@dataclass(frozen=True)
class Result:
    """What one case took; the times are in seconds."""

    name: str
    messages: int
    limit: float | None
    seconds: float
    user: float
    system: float
    floor: float = 0.0  # microseconds of each message that any server would cost

    @property
    def microseconds(self) -> float:
        """The server's CPU time for each message."""
        return self._each(self.user + self.system)

    @property
    def own(self) -> float:
        """What of that is the broker's."""
        return self.microseconds - self.floor

    @property
    def is_over(self) -> bool:
        """Whether the broker's own time is above its limit."""
        return self.limit is not None and self.own > self.limit

    def __str__(self) -> str:
        own, limit = ("", "") if self.limit is None else (f"{self.own:.1f}", f"{self.limit:.0f}")
        return (
            f"{self.name:<22} {self.messages:>8} {self.messages / self.seconds:>9.0f} "
            f"{self.microseconds:>8.1f} {self._each(self.user):>7.1f} "
            f"{self._each(self.system):>7.1f} {own:>7} {limit:>6}"
        )

    def _each(self, seconds: float) -> float:
        return seconds / self.messages * 1e6


def main() -> int:
    """Prints the table; 1 if something is over its limit."""
    with serving(serve_broker) as broker, serving(serve_echo) as echo:
        results = measure(*broker, *echo)
    print(
        f"{'case':<22} {'messages':>8} {'per sec.':>9} {'CPU us':>8} {'user':>7} {'system':>7} "
        f"{'own':>7} {'limit':>6}"
    )
    print(*results, sep="\n")
    return int(any(result.is_over for result in results))


# The servers, each in a process of its own


@contextmanager
def serving(serve: Callable[[Connection], None]) -> Iterator[tuple[str, "Meter"]]:
    """Where the server listens, and what reads its CPU time."""
    ours, theirs = multiprocessing.Pipe()
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv(), Meter(ours)
    finally:
        ours.send("stop")
        process.join(10)


def serve_broker(pipe: Connection) -> None:
    """Tells the connection string, then the CPU time whenever asked."""
    with in_thread(Broker(BrokerOptions(port=0))) as broker:
        tell_usage(pipe, broker.connection_string)


def serve_echo(pipe: Connection) -> None:
    """Tells the port, then the CPU time whenever asked."""
    with in_thread(EchoServer()) as echo:
        tell_usage(pipe, str(echo.port))


def tell_usage(pipe: Connection, address: str) -> None:
    """Answers until it is told to stop."""
    pipe.send(address)
    while pipe.recv() != "stop":
        usage = resource.getrusage(resource.RUSAGE_SELF)
        pipe.send((usage.ru_utime, usage.ru_stime))


class Echo(asyncio.BufferedProtocol):
    """Answers whatever it reads."""

    def __init__(self) -> None:
        self._buffer = bytearray(32768)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a stream is needed")
        self._transport = transport

    def get_buffer(self, _: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, _: int) -> None:
        self._transport.write(ANSWER)


class EchoServer:
    """The least that a server on asyncio can do."""

    async def start(self) -> None:
        """Listens."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(Echo, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Does not listen any more."""
        self._server.close()


# What they are measured with


@dataclass(frozen=True)
class Meter:
    """Reads the CPU time of a server's process around what is measured."""

    pipe: Connection

    def measured(
        self, name: str, messages: int, limit: float | None, work: Callable[[], None]
    ) -> Result:
        """Does `work` and says what it took."""
        (user, system), started = self._usage(), time.perf_counter()
        work()
        took = time.perf_counter() - started
        user_then, system_then = self._usage()
        return Result(name, messages, limit, took, user_then - user, system_then - system)

    def _usage(self) -> tuple[float, float]:
        self.pipe.send("usage")
        user, system = self.pipe.recv()
        return float(user), float(system)


def measure(connection_string: str, broker: Meter, port: str, echo: Meter) -> list[Result]:
    """The best round of each case."""
    batched, everything = BATCHES * BATCH, SINGLES + BATCHES * BATCH
    message, batch = ServiceBusMessage(BODY), [ServiceBusMessage(BODY) for _ in range(BATCH)]
    with (
        ServiceBusClient.from_connection_string(connection_string, try_timeout=15) as client,
        client.get_queue_sender(QUEUE) as sender,
        client.get_queue_receiver(QUEUE) as receiver,
        socket.create_connection(("127.0.0.1", int(port))) as bare,
    ):
        bare.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sender.send_messages(message)  # opens the link; received with the others

        def measured_round() -> list[Result]:
            single = partial(send, sender, message, SINGLES)
            singles = broker.measured("single sends", SINGLES, SINGLE_LIMIT, single)
            pinging = partial(ping, bare, singles.seconds / SINGLES)
            floor = echo.measured("  bare echo", SINGLES, None, pinging)
            sending = partial(send, sender, batch, BATCHES)
            batches = broker.measured(f"batches of {BATCH}", batched, BATCH_LIMIT, sending)
            completing = partial(complete, receiver, everything)
            received = broker.measured("receive, complete", everything, None, completing)
            return [singles, floor, batches, received]

        rounds = [measured_round() for _ in range(ROUNDS)]
    best = (min(same, key=lambda row: row.microseconds) for same in zip(*rounds, strict=True))
    single, floor, *others = best
    return [replace(single, floor=floor.microseconds), floor, *others]


def ping(bare: socket.socket, pace: float) -> None:
    """Sends a frame every `pace` seconds, busy in between as the SDK is, and reads the answers."""
    for _ in range(SINGLES):
        following = time.perf_counter() + pace
        bare.sendall(FRAME)
        if not bare.recv(len(ANSWER)):
            raise ConnectionError("the echo server has gone")
        while time.perf_counter() < following:
            pass


def send(sender: ServiceBusSender, what: Sendable, times: int) -> None:
    """Sends it so many times."""
    for _ in range(times):
        sender.send_messages(what)


def complete(receiver: ServiceBusReceiver, count: int) -> None:
    """Receives so many messages and completes each; RuntimeError if they do not come."""
    while count > 0:
        messages = receiver.receive_messages(BATCH, max_wait_time=RECEIVE_WITHIN)
        if not messages:
            raise RuntimeError(f"{count} messages did not come")
        for message in messages:
            receiver.complete_message(message)
        count -= len(messages)


if __name__ == "__main__":
    sys.exit(main())
