"""Custom allocation end to end: devices register with the DPS stand-in, which calls the app."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from local.device.registration import State
from local.stack import Stack
from local.threads import in_thread
from tests.end_to_end.fleet import (
    DEVICES,
    EXAMPLE,
    GROUP,
    HUB_2,
    REASONS,
    WITHOUT_DELAY,
    Assignment,
    DecisionLog,
    Fleet,
)
from tests.secret_factory import symmetric_key


@dataclass(frozen=True, kw_only=True)
class FirstRegistration:
    """The state after all devices have registered for the first time."""

    fleet: Fleet
    states: dict[str, State]
    lines: list[dict[str, Any]]


@pytest.fixture(scope="module")
def registered(environment: pytest.MonkeyPatch) -> Iterator[FirstRegistration]:
    """All devices registered with the rules of the example."""
    environment.setenv("ALLOCATION_POLICIES_FILE", str(EXAMPLE))
    key = symmetric_key()
    with DecisionLog() as log, in_thread(Stack(WITHOUT_DELAY, functions_port=0, key=key)) as stack:
        fleet = Fleet.enroll(stack, key)
        states = asyncio.run(fleet.register())
        yield FirstRegistration(fleet=fleet, states=states, lines=log.lines)


def test_each_device_is_assigned_by_a_rule_for_its_kind(registered: FirstRegistration) -> None:
    """Hub, twin and payload are those of the rule that decided; a refused device is in no hub."""
    rules = {line["registrationId"]: line["rule"] for line in registered.lines}
    hubs = registered.fleet.devices_in_hubs()

    actual = {id_: _assignment(rules[id_], hubs.get(id_)) for id_ in DEVICES}

    assert {i: at for i, at in actual.items() if at not in DEVICES[i].assignments} == {}


def _assignment(rule: str, device: dict[str, Any] | None) -> Assignment:
    if device is None:
        return Assignment(rule, None)
    return Assignment(rule, device["assignedHub"], device["twin"], device.get("payload"))


def test_each_device_receives_its_hub_and_payload(registered: FirstRegistration) -> None:
    """The registration result of a device names the hub that it is in, and its payload."""
    received = {
        id_: (state["assignedHub"], state["deviceId"], state["substatus"], state.get("payload"))
        for id_, state in registered.states.items()
        if state["status"] == "assigned"
    }

    assert received == {
        id_: (device["assignedHub"], id_, "initialAssignment", device.get("payload"))
        for id_, device in registered.fleet.devices_in_hubs().items()
    }


def test_every_hub_but_the_drained_one_has_devices(registered: FirstRegistration) -> None:
    """The linked hubs have devices, except for the drained one."""
    used = {device["assignedHub"] for device in registered.fleet.devices_in_hubs().values()}

    assert used == set(WITHOUT_DELAY.linked_hubs) - {HUB_2}


def test_refused_devices_receive_400207_without_the_reason(registered: FirstRegistration) -> None:
    """DPS reports only the HTTP status of the webhook's refusal to the device."""
    refused = {i: s for i, s in registered.states.items() if DEVICES[i].assignments[0].hub is None}

    assert len(refused) == 20
    assert {(s["status"], s["errorCode"], s["errorMessage"]) for s in refused.values()} == {
        ("failed", 400207, "Custom allocation failed with status code: 403")
    }


def test_each_refusal_is_logged_with_rule_and_reason(registered: FirstRegistration) -> None:
    """The decision log has one line for each refused device, with rule and reason."""
    expected = {
        id_: (kind.assignments[0].rule, REASONS[kind.assignments[0].rule])
        for id_, kind in DEVICES.items()
        if kind.assignments[0].hub is None
    }

    lines = [line for line in registered.lines if line["status"] == 403]
    assert len(lines) == len(expected)
    assert {line["registrationId"]: (line["rule"], line["reason"]) for line in lines} == expected


def test_each_device_is_decided_once(registered: FirstRegistration) -> None:
    """The webhook is called once per device."""
    assert Counter(line["registrationId"] for line in registered.lines) == Counter(list(DEVICES))


def test_app_returns_the_registration_states(registered: FirstRegistration) -> None:
    """The app returns the states of all devices of the group, refused ones included."""
    path = f"/registrations/{GROUP}/query"

    states = registered.fleet.call_app("POST", path, headers={"x-ms-max-item-count": "500"})

    assert {state["registrationId"]: state["status"] for state in states} == {
        id_: state["status"] for id_, state in registered.states.items()
    }
