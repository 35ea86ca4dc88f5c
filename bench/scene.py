"""DPS, a Service Bus namespace and apps, each in a process of its own."""

import json
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azure.servicebus import ServiceBusClient, ServiceBusMessage
from processes import BENCH, ROOT, Child, child

QUEUE, RESULTS = "enrollment-requests", "enrollment-results"
PEER_QUEUE = "peer-requests"
QUEUES = (QUEUE, "bulk-operations", RESULTS, "enrollment-rejected", PEER_QUEUE)
PEER = BENCH / "peer"

# Loopback without a delay would flatter everyone.
SINGLE_MS, BULK_MS, BROKER_SECONDS = 100, 400, 0.01

PER_MINUTE = 1000
UNPACED = {"DPS_OPERATIONS_PER_MINUTE": "1000000", "DPS_PACING_START": "1000000"}

# Each waits for the broker's answers: one alone receives fewer messages than a quota lets through.
RECEIVERS = 6

_BATCH = 200
_ANSWER_WITHIN = 30.0


@dataclass(frozen=True, kw_only=True)
class Delays:
    """What services that are far away would add."""

    single_ms: float = SINGLE_MS
    bulk_ms: float = BULK_MS
    broker: float = BROKER_SECONDS


NEAR = Delays(single_ms=0, bulk_ms=0, broker=0)


@dataclass(frozen=True, kw_only=True)
class Stats:
    """Calls that came, those among them that were refused, and devices that are enrolled."""

    calls: int
    refused: int
    devices: int

    def __sub__(self, before: "Stats") -> "Stats":
        return Stats(
            calls=self.calls - before.calls,
            refused=self.refused - before.refused,
            devices=self.devices - before.devices,
        )


class StandIn:
    """A DPS, and what can be ordered of it."""

    def __init__(self, dps: Child) -> None:
        self.where = dps.where

    def order(self, what: str, document: Mapping[str, Any]) -> None:
        """Orders something: `throttle` or `latency`."""
        self._ask("PUT", f"/_{what}", json.dumps(document).encode())

    def latency(self) -> Mapping[str, Any]:
        """What is ordered of it."""
        found: Mapping[str, Any] = json.loads(self._ask("GET", "/_latency"))
        return found

    def reset(self) -> None:
        """As it was at first."""
        self._ask("POST", "/_reset")

    def stats(self) -> Stats:
        """What it has been asked so far."""
        found = json.loads(self._ask("GET", "/_stats"))
        return Stats(
            calls=found["calls"],
            refused=found["throttled"],
            devices=found["records"]["enrollments"],
        )

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        url = f"{self.where['url']}{path}"
        request = urllib.request.Request(url, body, method=method)  # noqa: S310  http, and ours
        with urllib.request.urlopen(request, timeout=_ANSWER_WITHIN) as reply:  # noqa: S310
            answer: bytes = reply.read()
        return answer


class Scene:
    """One DPS and one namespace; apps are started in it."""

    def __init__(self, dps: Child, broker: Child, started: ExitStack) -> None:
        self.dps = StandIn(dps)
        self.broker = broker
        self._started = started
        self.fed = 0

    def running(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        app: Path = ROOT,
        receivers: int = RECEIVERS,
    ) -> AbstractContextManager[Child]:
        """An app on the local host, fed by the namespace."""
        variables = {
            "DPS_CONNECTION_STRING": self.dps.where["connection_string"],
            "ServiceBus": self.broker.where["connection_string"],
            "ENROLLMENT_RESULTS_QUEUE": RESULTS,
        }
        return child(
            "host", {"app": str(app), "receivers": receivers}, **(variables | dict(settings or {}))
        )

    def host(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        app: Path = ROOT,
        receivers: int = RECEIVERS,
    ) -> Child:
        """The same, until the end of the scene."""
        running = self.running(settings, app=app, receivers=receivers)
        return self._started.enter_context(running)

    def feed(self, messages: int, *, queue: str = QUEUE) -> None:
        """Sends so many requests, each for a device of its own."""
        connection = self.broker.where["connection_string"]
        with (
            ServiceBusClient.from_connection_string(connection, try_timeout=30) as client,
            client.get_queue_sender(queue) as sender,
        ):
            for first in range(self.fed, self.fed + messages, _BATCH):
                last = min(first + _BATCH, self.fed + messages)
                sender.send_messages([request(number) for number in range(first, last)])
        self.fed += messages


def request(number: int) -> ServiceBusMessage:
    """One device, as an ERP would send it."""
    enrollment = {
        "registrationId": f"press-{number:07}",
        "attestation": {"type": "symmetricKey"},
        "provisioningStatus": "enabled",
        "allocationPolicy": "hashed",
        "initialTwin": {"tags": {"plant": "north", "line": number % 12}},
    }
    body = json.dumps({"operation": "upsert", "enrollment": enrollment})
    return ServiceBusMessage(body, message_id=f"erp-{number}", content_type="application/json")


@contextmanager
def scene(delays: Delays | None = None, *, queues: Sequence[str] = QUEUES) -> Iterator[Scene]:
    """Runs the services."""
    delays = delays or Delays()
    times = {"single_ms": delays.single_ms, "bulk_ms": delays.bulk_ms}
    with ExitStack() as started:
        dps = started.enter_context(child("dps", times))
        options = {"latency": delays.broker, "queues": list(queues)}
        broker = started.enter_context(child("broker", options))
        yield Scene(dps, broker, started)
