"""Custom allocation: devices of fleets, assigned by the app's webhook and the example rules."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import aiohttp

from local.demo.checks import expect, expect_document, expect_same, expect_two_keys
from local.demo.context import TIMEOUT, DemoContext
from local.demo.examples import Fleet, FleetDevice
from local.demo.steps import CheckFailedError, Client, Step, StepSkippedError
from local.device.identity import Identity
from local.device.registration import Registration, State
from local.dps import Options
from local.dps.derived_keys import derived_key

FORBIDDEN = 403
DECISION_STATUSES = (200, FORBIDDEN)
REFUSED = 400207  # the error code of a registration that the webhook refused
API_VERSION = "2021-10-01"


def steps(demo: DemoContext) -> list[Step]:
    """Returns steps that create each fleet's group, register its devices, and delete all of them."""
    fleets = demo.examples.fleets
    return [
        *(step for fleet in fleets for step in _fleet_steps(demo, fleet)),
        Step(Client.DEVICE, "register one of them again", partial(_register_again, demo)),
        Step(Client.SDK, "delete these groups and states", partial(_delete, demo)),
    ]


def _fleet_steps(demo: DemoContext, fleet: Fleet) -> Iterator[Step]:
    title = f"create group {fleet.group_id}, policy custom"
    yield Step(Client.SDK, title, partial(_create_group, demo, fleet))
    for device in fleet.devices:
        call = partial(_register_and_check, demo, fleet, device)
        yield Step(Client.DEVICE, f"register {device.id}", call)


def _create_group(demo: DemoContext, fleet: Fleet) -> str:
    """Creates the group; the webhook URL holds the function key, as DPS sends no custom header."""
    path = f"/allocation/{fleet.policy}"
    definition = {
        "webhookUrl": f"{demo.app_url}{path}?code={demo.function_key}",
        "apiVersion": API_VERSION,
    }
    custom = {"allocationPolicy": "custom", "customAllocationDefinition": definition}
    stored = demo.sdk.enrollment_group.create_or_update(fleet.group_id, {**fleet.group, **custom})
    demo.fleet_keys[fleet.group_id], _ = expect_two_keys(stored["attestation"])
    expect_same(fleet.group_id, custom, dict(stored))
    return f"webhook POST {path}"


def _register_and_check(demo: DemoContext, fleet: Fleet, device: FleetDevice) -> str:
    explanation = _explain(demo, fleet, device)
    if device.rule is not None:
        expect("rule", explanation.get("rule"), device.rule)
    answer = explanation["answer"]
    if answer["status"] not in DECISION_STATUSES:  # DPS would retry for minutes
        raise CheckFailedError(f"webhook: {answer['status']}, {answer.get('message')}")
    state = _register(demo, fleet, device)
    if answer["status"] == FORBIDDEN:
        expect("state", (state["status"], state.get("errorCode")), ("failed", REFUSED))
        return f"refused with {REFUSED} by rule {explanation['rule']!r}"
    twin = answer["body"].get("initialTwin", fleet.group.get("initialTwin", {}))
    return _expect_assigned(demo, explanation, state, twin=twin)


def _register_again(demo: DemoContext) -> str:
    """Registers an assigned device again: rules see its current hub, and its twin is kept."""
    fleet, device, before = _first_assigned(demo)
    explanation = _explain(
        demo,
        fleet,
        device,
        currentIotHubHostName=before["assignedHub"],
        currentDeviceId=before["deviceId"],
    )
    state = _register(demo, fleet, device)
    return f"{device.id}: {_expect_assigned(demo, explanation, state, twin=before['twin'])}"


def _first_assigned(demo: DemoContext) -> tuple[Fleet, FleetDevice, Mapping[str, Any]]:
    assigned = _assigned_devices(demo)
    for fleet in demo.examples.fleets:
        for device in fleet.devices:
            if device.id in assigned:
                return fleet, device, assigned[device.id]
    raise StepSkippedError("no device of a fleet is assigned")


def _expect_assigned(
    demo: DemoContext, explanation: Mapping[str, Any], state: State, *, twin: Any
) -> str:
    """Checks that hub and payload are those of the explanation, and the device has the twin."""
    body = explanation["answer"]["body"]
    expect("status", state["status"], "assigned")
    expect("hub", state["assignedHub"], body["iotHubHostName"])
    expect_same("payload", body.get("payload"), state.get("payload"))
    device = _assigned_devices(demo)[state["registrationId"]]
    expect("hub of the device", device["assignedHub"], body["iotHubHostName"])
    expect("twin", device["twin"], twin)
    hub = device["assignedHub"].partition(".")[0]
    return f"{hub} by rule {explanation['rule']!r}; {_describe_twin(twin)}"


def _describe_twin(twin: Mapping[str, Any]) -> str:
    desired = twin.get("properties", {}).get("desired", {})
    members = {**twin.get("tags", {}), **desired}
    return "twin " + " ".join(f"{n}={v}" for n, v in members.items()) if members else "no twin"


def _explain(
    demo: DemoContext, fleet: Fleet, device: FleetDevice, **runtime_context: str
) -> Mapping[str, Any]:
    """Returns the app's explanation, with the response that the webhook will send."""
    if fleet.group_id not in demo.fleet_keys:
        raise StepSkippedError(f"the group {fleet.group_id} was not created")
    payload = {} if device.payload is None else {"payload": device.payload}
    request = {
        "enrollmentGroup": dict(demo.sdk.enrollment_group.get(fleet.group_id)),
        "deviceRuntimeContext": {
            "registrationId": device.id,
            **runtime_context,
            "symmetricKey": {},
            **payload,
        },
        "linkedHubs": fleet.group.get("iotHubs") or demo.hubs,
    }
    explanation: Mapping[str, Any] = expect_document(
        demo.http.post(f"/allocation/{fleet.policy}/explain", json=request)
    )
    return explanation


def _register(demo: DemoContext, fleet: Fleet, device: FleetDevice) -> State:
    key = derived_key(demo.fleet_keys[fleet.group_id], device.id)
    identity = Identity(id_scope=Options().id_scope, registration_id=device.id, key=key)
    return demo.run(_register_at(demo.dps_url, identity, device.payload))


async def _register_at(url: str, identity: Identity, payload: Any) -> State:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        registration = Registration(
            session=session, url=url, identity=identity, report=lambda _: None
        )
        return await registration.run(payload)


def _assigned_devices(demo: DemoContext) -> Mapping[str, Mapping[str, Any]]:
    devices = expect_document(demo.dps.get("/_devices"))
    return {device["registrationId"]: device for device in devices}


def _delete(demo: DemoContext) -> str:
    if not demo.fleet_keys:
        raise StepSkippedError("no group of a fleet was created")
    fleets = [fleet for fleet in demo.examples.fleets if fleet.group_id in demo.fleet_keys]
    devices = [device.id for fleet in fleets for device in fleet.devices]
    for id_ in devices:
        demo.sdk.device_registration_state.delete(id_)
    for fleet in fleets:
        demo.sdk.enrollment_group.delete(fleet.group_id)
    return f"{len(fleets)} groups and {len(devices)} states deleted"
