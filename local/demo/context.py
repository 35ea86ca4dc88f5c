"""State that the steps share: the running stack, its clients, and the records written so far."""

import asyncio
import secrets
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
from azure.core.credentials import AzureNamedKeyCredential
from azure.iot.deviceprovisioning import DeviceProvisioningClient
from azure.iot.deviceprovisioning.aio import DeviceProvisioningClient as AioDeviceProvisioningClient

from local.demo.examples import Document, Examples
from local.demo.queues import DemoQueues, ResultMessage
from local.demo.steps import StepSkippedError
from local.dps import Options
from local.host import environment
from local.servicebus import Broker
from local.stack import SERVICE_BUS_SETTINGS, Stack
from local.threads import in_thread
from shared.settings import ServiceBusSettings, Settings

TIMEOUT = 30.0
"""Seconds for any call of the demo."""

ResultT = TypeVar("ResultT")

# The SDK requires a credential and signs with it; the functions check only the function key.
_UNUSED_CREDENTIAL = AzureNamedKeyCredential(name="unused", key="dW51c2Vk")
# No retries, so that a step shows what one call does.
_NO_RETRIES: dict[str, Any] = {"retry_total": 0, "connection_timeout": 5, "read_timeout": TIMEOUT}
# Set to "", which counts as not set: the app then uses its defaults and only the stand-ins.
_CLEARED_SETTINGS = (*Settings.fields(), *ServiceBusSettings.fields(), *SERVICE_BUS_SETTINGS)


@dataclass(frozen=True, repr=False)
class CreatedRecord:
    """A created record: the document that was sent, and DPS's response with keys and etag."""

    sent: Document
    stored: Document


@dataclass(frozen=True, kw_only=True, repr=False)
class DemoContext:
    """
    The clients, and the records written so far.

    `http` sends the function key, `anonymous` does not; `dps` calls the stand-in itself. The first
    step that needs `queues` opens them, on `loop`.
    """

    examples: Examples
    app_url: str
    dps_url: str
    sdk: DeviceProvisioningClient
    aio: AioDeviceProvisioningClient
    http: httpx.Client
    anonymous: httpx.Client
    dps: httpx.Client
    broker: Broker
    queues: DemoQueues
    loop: asyncio.Runner
    function_key: str
    hubs: Sequence[str]
    enrollments: dict[str, CreatedRecord] = field(default_factory=dict)
    groups: dict[str, CreatedRecord] = field(default_factory=dict)
    bulk_enrollments: dict[str, Document] = field(default_factory=dict)
    fleet_keys: dict[str, str] = field(default_factory=dict)
    results: list[ResultMessage] = field(default_factory=list)

    def run(self, coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Runs a coroutine; raises TimeoutError after the timeout."""
        return self.loop.run(asyncio.wait_for(coroutine, TIMEOUT))

    def first_enrollment(self) -> tuple[str, CreatedRecord]:
        """Returns id and record of the first enrollment; raises StepSkippedError without one."""
        if not self.enrollments:
            raise StepSkippedError("no enrollment was created")
        return next(iter(self.enrollments.items()))

    def dps_stats(self) -> dict[str, Any]:
        """Returns the counters of the stand-in."""
        stats: dict[str, Any] = self.dps.get("/_stats").raise_for_status().json()
        return stats

    def dps_calls(self, operation: str | None = None) -> int:
        """Returns how many calls DPS received from the app, in all or for one operation."""
        stats = self.dps_stats()
        return int(stats["byOperation"].get(operation, 0) if operation else stats["calls"])


@contextmanager
def open_context(examples: Examples) -> Iterator[DemoContext]:
    """Starts a stack on free ports, independent of the environment's settings, and its clients."""
    key = secrets.token_hex(32)
    hubs = tuple(sorted({*Options().linked_hubs, *examples.hubs}))
    with ExitStack() as resources:
        resources.enter_context(environment.applied(_settings(examples)))
        # A device polls without delay, so that the demo does not wait for it.
        options = Options(port=0, tls_port=None, linked_hubs=hubs, retry_after_seconds=0)
        stack = resources.enter_context(in_thread(Stack(options, functions_port=0, key=key)))
        loop = resources.enter_context(asyncio.Runner())
        url, headers = stack.host.url, {"x-functions-key": key}
        sdk_options = {"headers": headers, **_NO_RETRIES}
        aio = AioDeviceProvisioningClient(url, _UNUSED_CREDENTIAL, **sdk_options)
        resources.callback(lambda: loop.run(asyncio.wait_for(aio.close(), TIMEOUT)))
        sdk = DeviceProvisioningClient(url, _UNUSED_CREDENTIAL, **sdk_options)
        queues = DemoQueues(stack.broker.connection_string, reply_queues=examples.reply_queues)
        resources.callback(lambda: loop.run(asyncio.wait_for(queues.aclose(), TIMEOUT)))
        yield DemoContext(
            examples=examples,
            app_url=url,
            dps_url=stack.dps.url,
            sdk=resources.enter_context(closing(sdk)),
            aio=aio,
            http=resources.enter_context(_http_client(url, headers)),
            anonymous=resources.enter_context(_http_client(url)),
            dps=resources.enter_context(_http_client(stack.dps.url)),
            broker=stack.broker,
            queues=queues,
            loop=loop,
            function_key=key,
            hubs=hubs,
        )


def _http_client(url: str, headers: dict[str, str] | None = None) -> httpx.Client:
    return httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT)


def _settings(examples: Examples) -> dict[str, str]:
    policies = "" if examples.policies is None else str(examples.policies.resolve())
    return dict.fromkeys(_CLEARED_SETTINGS, "") | {
        "ALLOCATION_POLICIES_FILE": policies,
        "ENROLLMENT_REPLY_QUEUES": ",".join(examples.reply_queues),
    }
