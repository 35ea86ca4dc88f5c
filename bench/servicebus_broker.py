"""What a message costs the Service Bus broker in CPU time: python bench/servicebus_broker.py.

The broker runs in a process of its own and is driven by the unmodified SDK. The exit code is 1 if
a message costs more than its limit. The counts are fixed, so it ends by itself.
"""

import multiprocessing
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
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

QUEUE = "bench"
BODY = b"x" * 256
ROUNDS = 3  # of which the best counts: others may be using the machine
SINGLES = 2_000
BATCHES, BATCH = 50, 100
SINGLE_LIMIT, BATCH_LIMIT = 50.0, 10.0  # microseconds of CPU for each message
RECEIVE_WITHIN = 10.0  # seconds


@dataclass(frozen=True)
class Result:
    """What one case took."""

    name: str
    messages: int
    seconds: float
    broker_seconds: float
    limit: float | None

    @property
    def microseconds(self) -> float:
        """The broker's CPU time for each message."""
        return self.broker_seconds / self.messages * 1e6

    @property
    def is_over(self) -> bool:
        """Whether it is above its limit."""
        return self.limit is not None and self.microseconds > self.limit

    def __str__(self) -> str:
        limit = "" if self.limit is None else f"{self.limit:.0f}"
        rate = self.messages / self.seconds
        return (
            f"{self.name:<22} {self.messages:>8} {rate:>9.0f} {self.microseconds:>8.1f} {limit:>6}"
        )


def main() -> int:
    """Prints the table; 1 if something is over its limit."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=serve, args=(theirs,), daemon=True
    )
    process.start()
    try:
        results = measure(ours.recv(), Meter(ours))
    finally:
        ours.send("stop")
        process.join(10)
    print(f"{'case':<22} {'messages':>8} {'per sec.':>9} {'CPU us':>8} {'limit':>6}")
    print(*results, sep="\n")
    return int(any(result.is_over for result in results))


def serve(pipe: Connection) -> None:
    """The broker's process: tells its connection string, then its CPU time whenever asked."""
    with in_thread(Broker(BrokerOptions(port=0))) as broker:
        pipe.send(broker.connection_string)
        while pipe.recv() != "stop":
            pipe.send(time.process_time())


@dataclass(frozen=True)
class Meter:
    """Reads the broker's CPU time around what is measured."""

    pipe: Connection

    def measured(
        self, name: str, messages: int, limit: float | None, work: Callable[[], None]
    ) -> Result:
        """Does `work` and says what it took."""
        cpu, started = self._cpu(), time.perf_counter()
        work()
        took = time.perf_counter() - started
        return Result(name, messages, took, self._cpu() - cpu, limit)

    def _cpu(self) -> float:
        self.pipe.send("cpu")
        return float(self.pipe.recv())


def measure(connection_string: str, meter: Meter) -> list[Result]:
    """The best of all rounds, case by case."""
    batched, everything = BATCHES * BATCH, SINGLES + BATCHES * BATCH
    message, batch = ServiceBusMessage(BODY), [ServiceBusMessage(BODY) for _ in range(BATCH)]
    with (
        ServiceBusClient.from_connection_string(connection_string, try_timeout=15) as client,
        client.get_queue_sender(QUEUE) as sender,
        client.get_queue_receiver(QUEUE) as receiver,
    ):
        sender.send_messages(message)  # opens the link; received with the others
        cases = (
            ("single sends", SINGLES, SINGLE_LIMIT, lambda: send(sender, message, SINGLES)),
            (f"batches of {BATCH}", batched, BATCH_LIMIT, lambda: send(sender, batch, BATCHES)),
            ("receive, complete", everything, None, lambda: complete(receiver, everything)),
        )
        rounds = [[meter.measured(*case) for case in cases] for _ in range(ROUNDS)]
    return [min(same, key=lambda result: result.microseconds) for same in zip(*rounds, strict=True)]


def send(sender: ServiceBusSender, what: Sendable, times: int) -> None:
    """Sends the same so many times."""
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
