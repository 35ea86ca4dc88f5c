"""A fleet for the rules of `examples/allocation.json`, and what those rules mean for it."""

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
from local.stack import ROOT, Stack
from tests.local.dps.devices import derive, keys
from tests.secret_factory import symmetric_key

EXAMPLE = ROOT / "examples" / "allocation.json"
HURRY = Options(port=0, tls_port=None, retry_after_seconds=0)

GROUP = "heating"
GROUP_TWIN = {"tags": {"ring": "unsorted"}}
HUB_1, HUB_2, HUB_3, HUB_4 = Options().linked_hubs
REASONS = {"model not sold": "the model is not sold", "reported stolen": "reported stolen"}
AT_ONCE = 50


class Landing(NamedTuple):
    """Where a device may land: the rule, and what of its answer can be seen in the hub."""

    rule: str
    hub: str | None  # None: it is refused
    twin: Any = None
    payload: Any = None


@dataclass(frozen=True)
class Kind:
    """Devices that are alike: how many, what they send along, and each landing there may be."""

    ids: str
    count: int
    payload: Mapping[str, Any]
    landings: tuple[Landing, ...]


def europe(region: str) -> Landing:
    """Hub 2 is drained, so all are on hub 1."""
    tags = {"region": region, "ring": "stable"}
    desired = {"telemetryHost": f"{region}.telemetry.contoso.example"}
    twin = {"tags": tags, "properties": {"desired": desired}}
    return Landing("europe", HUB_1, twin, {"tariff": "eu"})


CANARY = Landing("canary", HUB_4, {"tags": {"ring": "canary"}})
ELSEWHERE = Landing("heat pumps elsewhere", HUB_3, {"tags": {"region": "us"}})
SPREAD = tuple(Landing("otherwise", hub, GROUP_TWIN) for hub in (HUB_1, HUB_3, HUB_4))

KINDS = (
    Kind("thermo-1{:05}", 60, {"model": "t300", "region": "de"}, (europe("de"),)),
    Kind("thermo-2{:05}", 30, {"model": "t200", "region": "fr"}, (europe("fr"),)),
    # Five in a hundred of these, whoever they are.
    Kind(
        "thermo-3{:05}",
        29,
        {"model": "t300", "region": "de", "firmware": "12.1.0"},
        (CANARY, europe("de")),
    ),
    # One that is known to be among the five.
    Kind(
        "thermo-{:06}",
        1,
        {"model": "t300", "region": "de", "firmware": "12.1.0"},
        (CANARY,),
    ),
    Kind("hp-{:06}", 30, {"model": "hp9", "region": "us"}, (ELSEWHERE,)),
    Kind("thermo-4{:05}", 30, {"model": "t200"}, SPREAD),
    Kind("thermo-5{:05}", 18, {"model": "t100"}, (Landing("model not sold", None),)),
    Kind("thermo-00471{}", 2, {"model": "t300"}, (Landing("reported stolen", None),)),
)
FIRST_NUMBERS = {"thermo-{:06}": 824, "thermo-00471{}": 1}


def _numbered() -> Iterator[tuple[str, Kind]]:
    for kind in KINDS:
        first = FIRST_NUMBERS.get(kind.ids, 0)
        for number in range(first, first + kind.count):
            yield kind.ids.format(number), kind


DEVICES: Mapping[str, Kind] = dict(_numbered())


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """All devices, in one group whose hubs the app's webhook chooses."""

    stack: Stack
    function_key: str
    group_key: str

    @classmethod
    def enroll(cls, stack: Stack, function_key: str, **members: Any) -> "Fleet":
        """Writes the group through the app, with other members as given."""
        fleet = cls(stack=stack, function_key=function_key, group_key=symmetric_key())
        document = {
            "enrollmentGroupId": GROUP,
            "attestation": keys(fleet.group_key),
            "initialTwin": GROUP_TWIN,
            "allocationPolicy": "custom",
            "customAllocationDefinition": fleet.webhook("default"),
        }
        fleet.app("PUT", f"/enrollmentGroups/{GROUP}", json=document | members)
        return fleet

    def app(self, method: str, path: str, **request: Any) -> Any:
        """The app's answer to whoever has the function key."""
        headers = {"x-functions-key": self.function_key} | request.pop("headers", {})
        url = f"{self.stack.host.url}{path}"
        reply = httpx.request(method, url, headers=headers, timeout=30, **request)
        return reply.raise_for_status().json()

    def webhook(self, policy: str) -> dict[str, str]:
        """What a group says of its webhook: the address with the key."""
        code = quote(self.function_key, safe="")
        url = f"{self.stack.host.url}/allocation/{policy}?code={code}"
        return {"webhookUrl": url, "apiVersion": "2021-10-01"}

    def turn_to(self, policy: str) -> None:
        """Has another policy decide from now on, as whoever rolls out new rules does."""
        self.app(
            "PATCH",
            f"/enrollmentGroups/{GROUP}",
            json={"customAllocationDefinition": self.webhook(policy)},
            headers={"Content-Type": "application/merge-patch+json"},
        )

    async def register(self, *, at_once: int = AT_ONCE) -> dict[str, State]:
        """Registers every device, so many at a time; their final states by id."""
        free = asyncio.Semaphore(at_once)
        timeout = aiohttp.ClientTimeout(total=60)
        connector = aiohttp.TCPConnector(limit=at_once)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:

            async def one(id_: str) -> State:
                async with free:
                    return await self._registration(session, id_).run(DEVICES[id_].payload)

            states = await asyncio.gather(*map(one, DEVICES))
        return dict(zip(DEVICES, states, strict=True))

    def landed(self) -> dict[str, dict[str, Any]]:
        """The devices that are in hubs, by id."""
        found = httpx.get(f"{self.stack.dps.url}/_devices").raise_for_status().json()
        return {device["registrationId"]: device for device in found}

    def _registration(self, session: aiohttp.ClientSession, id_: str) -> Registration:
        key = derive(self.group_key, id_)
        identity = Identity(id_scope=Options().id_scope, registration_id=id_, key=key)
        url = self.stack.dps.url
        return Registration(session=session, url=url, identity=identity, say=lambda _: None)


class DecisionLog(logging.Handler):
    """The lines that the app logs of its decisions, as long as it is entered."""

    _logger = logging.getLogger("functions._decision_log")

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Reads one."""
        self.lines.append(json.loads(record.getMessage()))

    def __enter__(self) -> Self:
        self._level = self._logger.level
        self._logger.setLevel(logging.INFO)
        self._logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
        self._logger.setLevel(self._level)
