"""A DPS stand-in, a Service Bus stand-in and apps, each in a separate process."""

import json
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azure.servicebus import ServiceBusClient, ServiceBusMessage
from harness import BENCH, ROOT, Child, child

QUEUE, RESULTS = "enrollment-requests", "enrollment-results"
PEER_QUEUE = "peer-requests"
QUEUES = (QUEUE, "bulk-operations", RESULTS, "enrollment-rejected", PEER_QUEUE)
PEER = BENCH / "peer"

PER_MINUTE = 1000
WITHOUT_RATE_LIMIT = {"DPS_OPERATIONS_PER_MINUTE": "1000000", "DPS_PACING_START": "1000000"}

# A receiver waits for each answer of the broker: one alone gets fewer messages than the quota allows.
RECEIVERS = 6

_BATCH = 200
_REPLY_TIMEOUT = 30.0


@dataclass(frozen=True, kw_only=True)
class Delays:
    """Delays that remote services would have: without them both apps would seem too fast."""

    single_ms: float = 100
    bulk_ms: float = 400
    broker_seconds: float = 0.01


NO_DELAYS = Delays(single_ms=0, bulk_ms=0, broker_seconds=0)


@dataclass(frozen=True, kw_only=True)
class Stats:
    """Calls that DPS got, those of them that it refused with 429, and devices enrolled."""

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
    """The DPS stand-in, through its control endpoints."""

    def __init__(self, dps: Child) -> None:
        self.endpoint = dps.endpoint

    def configure(self, control: str, document: Mapping[str, Any]) -> None:
        """Sets its `throttle` or `latency`."""
        self._send("PUT", f"/_{control}", json.dumps(document).encode())

    def latency(self) -> Mapping[str, Any]:
        """Returns the latency that it is set to."""
        document: Mapping[str, Any] = json.loads(self._send("GET", "/_latency"))
        return document

    def reset(self) -> None:
        """Removes its records and settings."""
        self._send("POST", "/_reset")

    def stats(self) -> Stats:
        """Returns its counts since the start or the last reset."""
        document = json.loads(self._send("GET", "/_stats"))
        return Stats(
            calls=document["calls"],
            refused=document["throttled"],
            devices=document["records"]["enrollments"],
        )

    def _send(self, method: str, path: str, body: bytes | None = None) -> bytes:
        url = f"{self.endpoint['url']}{path}"
        request = urllib.request.Request(url, body, method=method)  # noqa: S310  http to our child
        with urllib.request.urlopen(request, timeout=_REPLY_TIMEOUT) as reply:  # noqa: S310
            answer: bytes = reply.read()
        return answer


class Deployment:
    """One DPS and one Service Bus namespace, in front of which apps are started."""

    def __init__(self, dps: Child, broker: Child, stack: ExitStack) -> None:
        self.dps = StandIn(dps)
        self.broker = broker
        self._stack = stack
        self.sent = 0

    def run_app(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        app: Path = ROOT,
        receivers: int = RECEIVERS,
    ) -> AbstractContextManager[Child]:
        """Runs an app on the local host while the context is open."""
        variables = {
            "DPS_CONNECTION_STRING": self.dps.endpoint["connection_string"],
            "ServiceBus": self.broker.endpoint["connection_string"],
            "ENROLLMENT_RESULTS_QUEUE": RESULTS,
        }
        options = {"app": str(app), "receivers": receivers}
        return child("host", options, **(variables | dict(settings or {})))

    def start_app(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        app: Path = ROOT,
        receivers: int = RECEIVERS,
    ) -> Child:
        """Runs an app on the local host until the deployment ends."""
        return self._stack.enter_context(self.run_app(settings, app=app, receivers=receivers))

    def send_requests(self, count: int, *, queue: str = QUEUE) -> None:
        """Sends `count` requests, each for another device."""
        connection = self.broker.endpoint["connection_string"]
        with (
            ServiceBusClient.from_connection_string(connection, try_timeout=30) as client,
            client.get_queue_sender(queue) as sender,
        ):
            for first in range(self.sent, self.sent + count, _BATCH):
                last = min(first + _BATCH, self.sent + count)
                sender.send_messages([create_request(number) for number in range(first, last)])
        self.sent += count


def create_request(number: int) -> ServiceBusMessage:
    """Returns a message that enrolls one device, as an ERP system would send it."""
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
def deploy(delays: Delays | None = None, *, queues: Sequence[str] = QUEUES) -> Iterator[Deployment]:
    """Runs both stand-ins, and the apps started in front of them, while the context is open."""
    delays = delays or Delays()
    with ExitStack() as stack:
        latency = {"single_ms": delays.single_ms, "bulk_ms": delays.bulk_ms}
        dps = stack.enter_context(child("dps", latency))
        options = {"latency": delays.broker_seconds, "queues": list(queues)}
        broker = stack.enter_context(child("broker", options))
        yield Deployment(dps, broker, stack)
