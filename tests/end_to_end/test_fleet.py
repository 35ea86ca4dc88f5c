"""Custom allocation end to end: devices, the DPS stand-in, and the app that it asks over HTTP."""

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
    HURRY,
    REASONS,
    DecisionLog,
    Fleet,
    Landing,
)
from tests.secret_factory import symmetric_key


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """All devices have registered for the first time."""

    fleet: Fleet
    states: dict[str, State]
    lines: list[dict[str, Any]]


@pytest.fixture(scope="module")
def arrival(environment) -> Iterator[Arrival]:
    """By the rules of the examples, as they are."""
    environment.setenv("ALLOCATION_POLICIES_FILE", str(EXAMPLE))
    key = symmetric_key()
    with DecisionLog() as log, in_thread(Stack(HURRY, functions_port=0, key=key)) as stack:
        fleet = Fleet.enroll(stack, key)
        states = asyncio.run(fleet.register())
        yield Arrival(fleet=fleet, states=states, lines=log.lines)


def test_fleet_has_200_devices():
    """As many as are promised."""
    assert len(DEVICES) == 200


def test_each_device_lands_as_its_rule_says(arrival):
    """Hub, twin and payload are those of a rule for its kind; who is refused is in no hub."""
    rules = {line["registrationId"]: line["rule"] for line in arrival.lines}
    hubs = arrival.fleet.landed()

    found = {id_: _landing(rules[id_], hubs.get(id_)) for id_ in DEVICES}

    assert {i: at for i, at in found.items() if at not in DEVICES[i].landings} == {}


def _landing(rule: str, device: dict[str, Any] | None) -> Landing:
    if device is None:
        return Landing(rule, None)
    return Landing(rule, device["assignedHub"], device["twin"], device.get("payload"))


def test_each_device_is_told_its_hub_and_payload(arrival):
    """What the device reads is where it is."""
    told = {
        id_: (state["assignedHub"], state["deviceId"], state["substatus"], state.get("payload"))
        for id_, state in arrival.states.items()
        if state["status"] == "assigned"
    }

    assert told == {
        id_: (device["assignedHub"], id_, "initialAssignment", device.get("payload"))
        for id_, device in arrival.fleet.landed().items()
    }


def test_every_hub_in_use_has_devices(arrival):
    """The drained hub has none."""
    used = {device["assignedHub"] for device in arrival.fleet.landed().values()}

    assert used == set(HURRY.linked_hubs) - {HUB_2}


def test_refused_devices_read_400207_with_the_status(arrival):
    """And nothing else: DPS passes no reason on."""
    refused = {i: s for i, s in arrival.states.items() if DEVICES[i].landings[0].hub is None}

    assert len(refused) == 20
    assert {(s["status"], s["errorCode"], s["errorMessage"]) for s in refused.values()} == {
        ("failed", 400207, "Custom allocation failed with status code: 403")
    }


def test_each_refusal_is_a_line_of_the_log_with_rule_and_reason(arrival):
    """One for each device that a rule refuses."""
    wanted = {
        id_: (kind.landings[0].rule, REASONS[kind.landings[0].rule])
        for id_, kind in DEVICES.items()
        if kind.landings[0].hub is None
    }

    lines = [line for line in arrival.lines if line["status"] == 403]
    assert len(lines) == len(wanted)
    assert {line["registrationId"]: (line["rule"], line["reason"]) for line in lines} == wanted


def test_each_device_is_decided_once(arrival):
    """No call is made twice while the webhook answers."""
    assert Counter(line["registrationId"] for line in arrival.lines) == Counter(list(DEVICES))


def test_registration_states_are_read_through_the_app(arrival):
    """All of the group's, refused ones included, say what the devices were told."""
    path = f"/registrations/{GROUP}/query"

    states = arrival.fleet.app("POST", path, headers={"x-ms-max-item-count": "500"})

    assert {state["registrationId"]: state["status"] for state in states} == {
        id_: state["status"] for id_, state in arrival.states.items()
    }
