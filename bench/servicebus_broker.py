"""
CPU time per message of the Service Bus stand-in: python bench/servicebus_broker.py.

The stand-in runs in a separate process and is driven by Microsoft's SDK. The exit code is 1 if a
message costs more than its limit.

The line "bare echo" shows a server that only answers frames of the same size and rate as those of
the single sends: the cost of asyncio, the system calls and waking an idle processor. That cost
alone varies by a factor of four, so the limit of single sends applies to their cost above it.
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
FRAME, ANSWER = b"y" * 357, b"z" * 26  # the sizes of a transfer of BODY and of its disposition
ROUNDS = 7  # the best of each case counts: other processes may use the machine
SINGLES, BATCHES, BATCH = 2_000, 50, 100
SINGLE_LIMIT, BATCH_LIMIT = 50.0, 10.0  # microseconds of CPU time per message
RECEIVE_TIMEOUT = 10.0  # seconds


@dataclass(frozen=True)
class Result:
    """The time that one case took, in seconds."""

    name: str
    messages: int
    limit: float | None
    seconds: float
    user: float
    system: float
    floor: float = 0.0  # microseconds per message that any server would cost

    @property
    def microseconds(self) -> float:
        """The server's CPU time per message."""
        return self._per_message(self.user + self.system)

    @property
    def own(self) -> float:
        """CPU time per message above the floor."""
        return self.microseconds - self.floor

    @property
    def is_over(self) -> bool:
        """Whether the time above the floor exceeds the limit."""
        return self.limit is not None and self.own > self.limit

    def __str__(self) -> str:
        own, limit = ("", "") if self.limit is None else (f"{self.own:.1f}", f"{self.limit:.0f}")
        return (
            f"{self.name:<22} {self.messages:>8} {self.messages / self.seconds:>9.0f} "
            f"{self.microseconds:>8.1f} {self._per_message(self.user):>7.1f} "
            f"{self._per_message(self.system):>7.1f} {own:>7} {limit:>6}"
        )

    def _per_message(self, seconds: float) -> float:
        return seconds / self.messages * 1e6


def main() -> int:
    """Prints the table; returns 1 if a case is over its limit."""
    with serving(serve_broker) as broker, serving(serve_echo) as echo:
        results = measure(*broker, *echo)
    print(
        f"{'case':<22} {'messages':>8} {'per sec.':>9} {'CPU us':>8} {'user':>7} {'system':>7} "
        f"{'own':>7} {'limit':>6}"
    )
    print(*results, sep="\n")
    return int(any(result.is_over for result in results))


# The servers, each in a separate process


@contextmanager
def serving(serve: Callable[[Connection], None]) -> Iterator[tuple[str, "Meter"]]:
    """Runs a server in a process; yields its address and a meter of its CPU time."""
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
    """Runs the stand-in; sends its connection string, then its CPU time on request."""
    with in_thread(Broker(BrokerOptions(port=0))) as broker:
        send_usage(pipe, broker.connection_string)


def serve_echo(pipe: Connection) -> None:
    """Runs an echo server; sends its port, then its CPU time on request."""
    with in_thread(EchoServer()) as echo:
        send_usage(pipe, str(echo.port))


def send_usage(pipe: Connection, address: str) -> None:
    """Sends the address, then the CPU time for each message until `stop`."""
    pipe.send(address)
    while pipe.recv() != "stop":
        usage = resource.getrusage(resource.RUSAGE_SELF)
        pipe.send((usage.ru_utime, usage.ru_stime))


class Echo(asyncio.BufferedProtocol):
    """A protocol that sends a fixed answer for each read."""

    def __init__(self) -> None:
        self._buffer = bytearray(32768)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("the transport must be a stream")
        self._transport = transport

    def get_buffer(self, _: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, _: int) -> None:
        self._transport.write(ANSWER)


class EchoServer:
    """A minimal asyncio server."""

    async def start(self) -> None:
        """Starts to listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(Echo, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stops listening."""
        self._server.close()


# Measurement


@dataclass(frozen=True)
class Meter:
    """A meter of the CPU time of a server's process."""

    pipe: Connection

    def measure(
        self, name: str, messages: int, limit: float | None, work: Callable[[], None]
    ) -> Result:
        """Runs `work` and returns the time it took."""
        (user, system), started = self._usage(), time.perf_counter()
        work()
        seconds = time.perf_counter() - started
        user_after, system_after = self._usage()
        return Result(name, messages, limit, seconds, user_after - user, system_after - system)

    def _usage(self) -> tuple[float, float]:
        self.pipe.send("usage")
        user, system = self.pipe.recv()
        return float(user), float(system)


def measure(connection_string: str, broker: Meter, port: str, echo: Meter) -> list[Result]:
    """Returns the best round of each case."""
    batched, total = BATCHES * BATCH, SINGLES + BATCHES * BATCH
    message, batch = ServiceBusMessage(BODY), [ServiceBusMessage(BODY) for _ in range(BATCH)]
    with (
        ServiceBusClient.from_connection_string(connection_string, try_timeout=15) as client,
        client.get_queue_sender(QUEUE) as sender,
        client.get_queue_receiver(QUEUE) as receiver,
        socket.create_connection(("127.0.0.1", int(port))) as echo_socket,
    ):
        echo_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sender.send_messages(message)  # opens the link; is received with the others

        def measure_round() -> list[Result]:
            single = partial(send, sender, message, SINGLES)
            singles = broker.measure("single sends", SINGLES, SINGLE_LIMIT, single)
            pinging = partial(ping, echo_socket, singles.seconds / SINGLES)
            floor = echo.measure("  bare echo", SINGLES, None, pinging)
            sending = partial(send, sender, batch, BATCHES)
            batches = broker.measure(f"batches of {BATCH}", batched, BATCH_LIMIT, sending)
            completing = partial(complete, receiver, total)
            received = broker.measure("receive, complete", total, None, completing)
            return [singles, floor, batches, received]

        rounds = [measure_round() for _ in range(ROUNDS)]
    best = (min(same, key=lambda row: row.microseconds) for same in zip(*rounds, strict=True))
    single, floor, *others = best
    return [replace(single, floor=floor.microseconds), floor, *others]


def ping(echo: socket.socket, interval: float) -> None:
    """Sends a frame every `interval` seconds, busy in between like the SDK; reads each answer."""
    for _ in range(SINGLES):
        following = time.perf_counter() + interval
        echo.sendall(FRAME)
        if not echo.recv(len(ANSWER)):
            raise ConnectionError("the echo server closed the connection")
        while time.perf_counter() < following:
            pass


def send(sender: ServiceBusSender, message: Sendable, times: int) -> None:
    """Sends a message or a batch `times` times."""
    for _ in range(times):
        sender.send_messages(message)


def complete(receiver: ServiceBusReceiver, count: int) -> None:
    """Receives and completes `count` messages; raises RuntimeError if they do not arrive."""
    while count > 0:
        messages = receiver.receive_messages(BATCH, max_wait_time=RECEIVE_TIMEOUT)
        if not messages:
            raise RuntimeError(f"{count} messages did not arrive")
        for message in messages:
            receiver.complete_message(message)
        count -= len(messages)


if __name__ == "__main__":
    sys.exit(main())
