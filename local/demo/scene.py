"""What the steps share: the running stack, its clients, and what has been written so far."""

import asyncio
import secrets
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
from azure.iot.deviceprovisioning import DeviceProvisioningClient
from azure.iot.deviceprovisioning.aio import DeviceProvisioningClient as AioDeviceProvisioningClient

from local.demo import clients
from local.demo.examples import Document, Examples
from local.demo.queues import Queues, ResultEvent
from local.demo.steps import NothingToShowError
from local.dps import Options
from local.host import environment
from local.servicebus import Broker
from local.stack import SERVICE_BUS_SETTINGS, Stack
from local.threads import in_thread
from shared.settings import MessagingSettings, Settings

ResultT = TypeVar("ResultT")

# Emptied, they count as not set: the defaults hold, and none but the stand-ins are talked to.
_SETTINGS = (*Settings.fields(), *MessagingSettings.fields(), *SERVICE_BUS_SETTINGS)


@dataclass(frozen=True, repr=False)
class Written:
    """A record that DPS took: the document sent, and the answer with its keys and etag."""

    sent: Document
    answer: Document


@dataclass(frozen=True, kw_only=True, repr=False)
class Scene:
    """
    `http` sends the function key, `stranger` none; `dps` reaches the stand-in itself.

    `queues` are opened by the first step that needs them, on `loop`.
    """

    examples: Examples
    app_url: str
    dps_url: str
    sdk: DeviceProvisioningClient
    aio: AioDeviceProvisioningClient
    http: httpx.Client
    stranger: httpx.Client
    dps: httpx.Client
    broker: Broker
    queues: Queues
    loop: asyncio.Runner
    function_key: str
    hubs: Sequence[str]
    enrollments: dict[str, Written] = field(default_factory=dict)
    groups: dict[str, Written] = field(default_factory=dict)
    bulk: dict[str, Document] = field(default_factory=dict)
    fleet_keys: dict[str, str] = field(default_factory=dict)
    results: list[ResultEvent] = field(default_factory=list)

    def run(self, doing: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Runs what is asynchronous, for as long as a call may take."""
        return self.loop.run(asyncio.wait_for(doing, clients.SECONDS))

    def first(self) -> tuple[str, Written]:
        """The first enrollment that was written."""
        if not self.enrollments:
            raise NothingToShowError("no enrollment was written")
        return next(iter(self.enrollments.items()))

    def stats(self) -> dict[str, Any]:
        """What the stand-in has counted."""
        counted: dict[str, Any] = self.dps.get("/_stats").raise_for_status().json()
        return counted

    def calls(self, operation: str | None = None) -> int:
        """How many calls of the app have reached DPS, of all or one of its operations."""
        stats = self.stats()
        return int(stats["byOperation"].get(operation, 0) if operation else stats["calls"])


@contextmanager
def opened(examples: Examples) -> Iterator[Scene]:
    """A stack of its own on free ports, whatever settings the environment has, and its clients."""
    key = secrets.token_hex(32)
    hubs = tuple(sorted({*Options().linked_hubs, *examples.hubs}))
    with ExitStack() as open_:
        open_.enter_context(environment.applied(_settings(examples)))
        # Devices are told to poll at once: nobody watches a table for seconds of waiting.
        options = Options(port=0, tls_port=None, linked_hubs=hubs, retry_after_seconds=0)
        stack = open_.enter_context(in_thread(Stack(options, functions_port=0, key=key)))
        loop = open_.enter_context(asyncio.Runner())
        aio = clients.sdk_aio(stack.host.url, key)
        open_.callback(lambda: loop.run(asyncio.wait_for(aio.close(), clients.SECONDS)))
        queues = Queues(stack.broker.connection_string, reply_queues=examples.reply_queues)
        open_.callback(lambda: loop.run(asyncio.wait_for(queues.aclose(), clients.SECONDS)))
        yield Scene(
            examples=examples,
            app_url=stack.host.url,
            dps_url=stack.dps.url,
            sdk=open_.enter_context(closing(clients.sdk(stack.host.url, key))),
            aio=aio,
            http=open_.enter_context(clients.http(stack.host.url, key)),
            stranger=open_.enter_context(clients.http(stack.host.url)),
            dps=open_.enter_context(clients.http(stack.dps.url)),
            broker=stack.broker,
            queues=queues,
            loop=loop,
            function_key=key,
            hubs=hubs,
        )


def _settings(examples: Examples) -> dict[str, str]:
    policies = "" if examples.policies is None else str(examples.policies.resolve())
    return dict.fromkeys(_SETTINGS, "") | {
        "ALLOCATION_POLICIES_FILE": policies,
        "ENROLLMENT_REPLY_QUEUES": ",".join(examples.reply_queues),
    }
