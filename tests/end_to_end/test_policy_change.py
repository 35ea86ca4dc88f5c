"""Devices register again after a change of policy: hub, substatus, twin and refusals."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from local.device.registration import State
from local.stack import Stack
from local.threads import in_thread
from tests.end_to_end.fleet import (
    DEVICES,
    EXAMPLE,
    HUB_1,
    HUB_2,
    HUB_3,
    WITHOUT_DELAY,
    DecisionLog,
    Fleet,
)
from tests.secret_factory import symmetric_key

# Devices of two regions move from hub 1 to hub 2; all others keep their hub.
NEXT = {
    "rules": [
        {
            "name": "move",
            "when": {"payload.region": {"in": ["de", "fr"]}},
            "hub": HUB_2,
            "initialTwin": {"tags": {"ring": "moved"}},
            "payload": {"tariff": "new"},
        },
        {"name": "stay", "when": {"currentHub": {"linked": True}}, "hub": {"keep": True}},
    ],
    "otherwise": {"reject": "not known"},
}


@pytest.fixture
def enroll(environment: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Fleet]]:
    """Enrolls the fleet with its own stack, whose policies are the example's and `next`."""
    document = json.loads(EXAMPLE.read_text())
    document["policies"]["next"] = NEXT
    path = tmp_path / "policies.json"
    path.write_text(json.dumps(document))
    environment.setenv("ALLOCATION_POLICIES_FILE", str(path))
    with ExitStack() as running:

        def enroll_fleet(**members: Any) -> Fleet:
            key = symmetric_key()
            stack = running.enter_context(
                in_thread(Stack(WITHOUT_DELAY, functions_port=0, key=key))
            )
            return Fleet.enroll(stack, key, **members)

        yield enroll_fleet


MIGRATE = {"reprovisionPolicy": {"updateHubAssignment": True, "migrateDeviceData": True}}
RESET = {"reprovisionPolicy": {"updateHubAssignment": True, "migrateDeviceData": False}}
NEVER = {"reprovisionPolicy": {"updateHubAssignment": False, "migrateDeviceData": False}}
MOVED = {"tags": {"ring": "moved"}}
NEW = {"tariff": "new"}


@pytest.mark.parametrize(
    ("policy", "hub", "substatus", "twin"),
    [
        (MIGRATE, HUB_2, "deviceDataMigrated", None),
        (RESET, HUB_2, "deviceDataReset", MOVED),
        (NEVER, None, "initialAssignment", None),
    ],
    ids=["migrate", "reset", "never"],
)
def test_new_rules_move_devices_by_reprovision_policy(
    enroll: Callable[..., Fleet], policy: Any, hub: Any, substatus: str, twin: Any
) -> None:
    """Devices that the new rules move get the documented substatus and twin; `None`: unchanged."""
    fleet = enroll(**policy)
    asyncio.run(fleet.register())
    before = fleet.devices_in_hubs()
    fleet.switch_policy("next")

    states = asyncio.run(fleet.register())

    moving = [id_ for id_ in before if DEVICES[id_].payload.get("region") in {"de", "fr"}]
    after = fleet.devices_in_hubs()
    assert len(moving) == 120
    assert {i: _result(after[i], states[i]) for i in moving} == {
        i: (hub or before[i]["assignedHub"], substatus, twin or before[i]["twin"], NEW)
        for i in moving
    }


def test_new_rules_keep_other_devices(enroll: Callable[..., Fleet]) -> None:
    """A device that a rule keeps stays in its hub with its twin, although it could be moved."""
    fleet = enroll(**RESET)
    asyncio.run(fleet.register())
    before = fleet.devices_in_hubs()
    fleet.switch_policy("next")

    states = asyncio.run(fleet.register())

    staying = [id_ for id_ in before if DEVICES[id_].payload.get("region") not in {"de", "fr"}]
    after = fleet.devices_in_hubs()
    assert {before[id_]["assignedHub"] for id_ in staying} >= {HUB_1, HUB_3}
    assert {i: _result(after[i], states[i]) for i in staying} == {
        i: (before[i]["assignedHub"], "initialAssignment", before[i]["twin"], None) for i in staying
    }


def _result(device: dict[str, Any], state: State) -> tuple[str, str, Any, Any]:
    """Returns what the device received, and the twin that the hub has."""
    return state["assignedHub"], state["substatus"], device["twin"], state.get("payload")


def test_new_rules_refuse_devices_without_a_hub(enroll: Callable[..., Fleet]) -> None:
    """A device that the old rules refused has no hub to keep, and is refused for a new reason."""
    fleet = enroll()
    asyncio.run(fleet.register())
    fleet.switch_policy("next")

    with DecisionLog() as log:
        states = asyncio.run(fleet.register())

    refused = {id_ for id_, state in states.items() if state["status"] == "failed"}
    lines = [line for line in log.lines if line["status"] == 403]
    assert refused == {i for i, kind in DEVICES.items() if kind.assignments[0].hub is None}
    assert {(line["policy"], line["rule"], line["reason"]) for line in lines} == {
        ("next", "otherwise", "not known")
    }
    assert {line["registrationId"] for line in lines} == refused
