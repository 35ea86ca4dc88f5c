"""A fleet for the rules of `examples/allocation.json`, and the assignments expected of them."""

import asyncio
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self
from urllib.parse import quote

import aiohttp
import httpx

from local.device.identity import Identity
from local.device.registration import Registration, State
from local.dps import Options
from local.dps.derived_keys import derived_key
from local.stack import ROOT, Stack
from tests.local.dps.devices import keys
from tests.secret_factory import symmetric_key

EXAMPLE = ROOT / "examples" / "allocation.json"
WITHOUT_DELAY = Options(port=0, tls_port=None, retry_after_seconds=0)

GROUP = "heating"
GROUP_TWIN = {"tags": {"ring": "unsorted"}}
HUB_1, HUB_2, HUB_3, HUB_4 = Options().linked_hubs
REASONS = {"model not sold": "the model is not sold", "reported stolen": "reported stolen"}
CONCURRENCY = 50


class Assignment(NamedTuple):
    """The rule that decides for a device, and what of its decision is visible in the hub."""

    rule: str
    hub: str | None  # None if the rule refuses the device
    twin: Any = None
    payload: Any = None


@dataclass(frozen=True)
class DeviceKind:
    """Devices of one kind: their number, the payload they send, and the assignments allowed."""

    ids: str
    count: int
    payload: Mapping[str, Any]
    assignments: tuple[Assignment, ...]


def assign_to_europe(region: str) -> Assignment:
    """Returns the assignment of a device in Europe: hub 2 is drained, so all are on hub 1."""
    tags = {"region": region, "ring": "stable"}
    desired = {"telemetryHost": f"{region}.telemetry.contoso.example"}
    twin = {"tags": tags, "properties": {"desired": desired}}
    return Assignment("europe", HUB_1, twin, {"tariff": "eu"})


CANARY = Assignment("canary", HUB_4, {"tags": {"ring": "canary"}})
ELSEWHERE = Assignment("heat pumps elsewhere", HUB_3, {"tags": {"region": "us"}})
SPREAD = tuple(Assignment("otherwise", hub, GROUP_TWIN) for hub in (HUB_1, HUB_3, HUB_4))

KINDS = (
    DeviceKind("thermo-1{:05}", 60, {"model": "t300", "region": "de"}, (assign_to_europe("de"),)),
    DeviceKind("thermo-2{:05}", 30, {"model": "t200", "region": "fr"}, (assign_to_europe("fr"),)),
    # Five percent of these are canaries, chosen by a hash of the id.
    DeviceKind(
        "thermo-3{:05}",
        29,
        {"model": "t300", "region": "de", "firmware": "12.1.0"},
        (CANARY, assign_to_europe("de")),
    ),
    # One whose hash makes it a canary.
    DeviceKind(
        "thermo-{:06}",
        1,
        {"model": "t300", "region": "de", "firmware": "12.1.0"},
        (CANARY,),
    ),
    DeviceKind("hp-{:06}", 30, {"model": "hp9", "region": "us"}, (ELSEWHERE,)),
    DeviceKind("thermo-4{:05}", 30, {"model": "t200"}, SPREAD),
    DeviceKind("thermo-5{:05}", 18, {"model": "t100"}, (Assignment("model not sold", None),)),
    DeviceKind("thermo-00471{}", 2, {"model": "t300"}, (Assignment("reported stolen", None),)),
)
FIRST_NUMBERS = {"thermo-{:06}": 824, "thermo-00471{}": 1}


def _create_devices() -> Iterator[tuple[str, DeviceKind]]:
    for kind in KINDS:
        first = FIRST_NUMBERS.get(kind.ids, 0)
        for number in range(first, first + kind.count):
            yield kind.ids.format(number), kind


DEVICES: Mapping[str, DeviceKind] = dict(_create_devices())


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """All devices, in one enrollment group with custom allocation by the app."""

    stack: Stack
    function_key: str
    group_key: str

    @classmethod
    def enroll(cls, stack: Stack, function_key: str, **members: Any) -> "Fleet":
        """Creates the group through the app, with other members as given."""
        fleet = cls(stack=stack, function_key=function_key, group_key=symmetric_key())
        document = {
            "enrollmentGroupId": GROUP,
            "attestation": keys(fleet.group_key),
            "initialTwin": GROUP_TWIN,
            "allocationPolicy": "custom",
            "customAllocationDefinition": fleet.webhook_definition("default"),
        }
        fleet.call_app("PUT", f"/enrollmentGroups/{GROUP}", json=document | members)
        return fleet

    def call_app(self, method: str, path: str, **request: Any) -> Any:
        """Calls the app with its function key and returns the JSON of the response."""
        headers = {"x-functions-key": self.function_key} | request.pop("headers", {})
        url = f"{self.stack.host.url}{path}"
        reply = httpx.request(method, url, headers=headers, timeout=30, **request)
        return reply.raise_for_status().json()

    def webhook_definition(self, policy: str) -> dict[str, str]:
        """Returns the custom allocation definition for a policy of the app."""
        code = quote(self.function_key, safe="")
        url = f"{self.stack.host.url}/allocation/{policy}?code={code}"
        return {"webhookUrl": url, "apiVersion": "2021-10-01"}

    def switch_policy(self, policy: str) -> None:
        """Changes the group's webhook to another policy, as at a rollout of new rules."""
        self.call_app(
            "PATCH",
            f"/enrollmentGroups/{GROUP}",
            json={"customAllocationDefinition": self.webhook_definition(policy)},
            headers={"Content-Type": "application/merge-patch+json"},
        )

    async def register(self, *, concurrency: int = CONCURRENCY) -> dict[str, State]:
        """Registers all devices and returns their final states by id."""
        limit = asyncio.Semaphore(concurrency)
        timeout = aiohttp.ClientTimeout(total=60)
        connector = aiohttp.TCPConnector(limit=concurrency)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:

            async def register_one(id_: str) -> State:
                async with limit:
                    return await self._registration(session, id_).run(DEVICES[id_].payload)

            states = await asyncio.gather(*map(register_one, DEVICES))
        return dict(zip(DEVICES, states, strict=True))

    def devices_in_hubs(self) -> dict[str, dict[str, Any]]:
        """Returns the devices that are in hubs, by id."""
        devices = httpx.get(f"{self.stack.dps.url}/_devices").raise_for_status().json()
        return {device["registrationId"]: device for device in devices}

    def _registration(self, session: aiohttp.ClientSession, id_: str) -> Registration:
        key = derived_key(self.group_key, id_)
        identity = Identity(id_scope=Options().id_scope, registration_id=id_, key=key)
        url = self.stack.dps.url
        return Registration(session=session, url=url, identity=identity, report=lambda _: None)


class DecisionLog(logging.Handler):
    """The lines of the app's decision log while the context is open."""

    _logger = logging.getLogger("functions.allocation")

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Parses a line."""
        self.lines.append(json.loads(record.getMessage()))

    def __enter__(self) -> Self:
        self._level = self._logger.level
        self._logger.setLevel(logging.INFO)
        self._logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
        self._logger.setLevel(self._level)
