"""Devices of fleets whose hub a webhook chooses: the app's, by the rules of the examples."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import aiohttp

from local.demo import clients
from local.demo.checks import answer, expect, expect_same, two_keys
from local.demo.fleets import Fleet, FleetDevice
from local.demo.scene import Scene
from local.demo.steps import NothingToShowError, Step, UnexpectedError, Via
from local.device.identity import Identity
from local.device.registration import Registration, State
from local.dps import Options
from local.dps.signatures import derived_key

FORBIDDEN = 403
DECISIONS = (200, FORBIDDEN)
REFUSED = 400207  # what DPS tells a device that a webhook has refused
API_VERSION = "2021-10-01"


def steps(scene: Scene) -> list[Step]:
    """Each fleet's group and devices; then one comes back; then all of it is removed."""
    fleets = scene.examples.fleets
    return [
        *(step for fleet in fleets for step in _of(scene, fleet)),
        Step(Via.DEVICE, "one of them comes back", partial(_again, scene)),
        Step(Via.SDK, "delete these groups and states", partial(_delete, scene)),
    ]


def _of(scene: Scene, fleet: Fleet) -> Iterator[Step]:
    what = f"create {fleet.group_id}, policy custom"
    yield Step(Via.SDK, what, partial(_wire, scene, fleet))
    for device in fleet.devices:
        yield Step(Via.DEVICE, f"register {device.id}", partial(_register, scene, fleet, device))


def _wire(scene: Scene, fleet: Fleet) -> str:
    """The function key goes along in the address: DPS sends no header of ours."""
    path = f"/allocation/{fleet.policy}"
    definition = {
        "webhookUrl": f"{scene.app_url}{path}?code={scene.function_key}",
        "apiVersion": API_VERSION,
    }
    wired = {"allocationPolicy": "custom", "customAllocationDefinition": definition}
    stored = scene.sdk.enrollment_group.create_or_update(fleet.group_id, {**fleet.group, **wired})
    scene.fleet_keys[fleet.group_id], _ = two_keys(stored["attestation"])
    expect_same(fleet.group_id, wired, dict(stored))
    return f"webhook POST {path}"


def _register(scene: Scene, fleet: Fleet, device: FleetDevice) -> str:
    told = _explained(scene, fleet, device)
    if device.rule is not None:
        expect("rule", told.get("rule"), device.rule)
    status = told["answer"]["status"]
    if status not in DECISIONS:  # DPS would call again for minutes
        raise UnexpectedError(f"webhook: {status}, {told['answer'].get('message')}")
    state = _come(scene, fleet, device)
    if status == FORBIDDEN:
        expect("state", (state["status"], state.get("errorCode")), ("failed", REFUSED))
        return f"{REFUSED}, refused by rule {told['rule']}"
    body = told["answer"]["body"]
    twin = body.get("initialTwin", fleet.group.get("initialTwin", {}))
    return _landed(scene, told, state, twin=twin)


def _again(scene: Scene) -> str:
    """Where it is by now is in the question, and whatever the rules say of a twin is ignored."""
    fleet, device, before = _first_landed(scene)
    told = _explained(
        scene,
        fleet,
        device,
        currentIotHubHostName=before["assignedHub"],
        currentDeviceId=before["deviceId"],
    )
    landed = _landed(scene, told, _come(scene, fleet, device), twin=before["twin"])
    return f"{device.id}: {landed}"


def _first_landed(scene: Scene) -> tuple[Fleet, FleetDevice, Mapping[str, Any]]:
    there = _in_hubs(scene)
    for fleet in scene.examples.fleets:
        for device in fleet.devices:
            if device.id in there:
                return fleet, device, there[device.id]
    raise NothingToShowError("no device of a fleet is in a hub")


def _landed(scene: Scene, told: Mapping[str, Any], state: State, *, twin: Any) -> str:
    """The device is where explain says, with this twin and the rule's payload."""
    body = told["answer"]["body"]
    expect("status", state["status"], "assigned")
    expect("hub", state["assignedHub"], body["iotHubHostName"])
    expect_same("payload", body.get("payload"), state.get("payload"))
    there = _in_hubs(scene)[state["registrationId"]]
    expect("hub that has it", there["assignedHub"], body["iotHubHostName"])
    expect("twin", there["twin"], twin)
    return f"{there['assignedHub'].partition('.')[0]} by rule {told['rule']}; {_traits(twin)}"


def _traits(twin: Mapping[str, Any]) -> str:
    desired = twin.get("properties", {}).get("desired", {})
    members = {**twin.get("tags", {}), **desired}
    return "twin " + " ".join(f"{n}={v}" for n, v in members.items()) if members else "no twin"


def _explained(
    scene: Scene, fleet: Fleet, device: FleetDevice, **context: str
) -> Mapping[str, Any]:
    """What the app says it would answer, were it asked by DPS."""
    if fleet.group_id not in scene.fleet_keys:
        raise NothingToShowError(f"group {fleet.group_id} was not written")
    payload = {} if device.payload is None else {"payload": device.payload}
    known = {"registrationId": device.id, **context, "symmetricKey": {}, **payload}
    question = {
        "enrollmentGroup": dict(scene.sdk.enrollment_group.get(fleet.group_id)),
        "deviceRuntimeContext": known,
        "linkedHubs": fleet.group.get("iotHubs") or scene.hubs,
    }
    told: Mapping[str, Any] = answer(
        scene.http.post(f"/allocation/{fleet.policy}/explain", json=question)
    )
    return told


def _come(scene: Scene, fleet: Fleet, device: FleetDevice) -> State:
    key = derived_key(scene.fleet_keys[fleet.group_id], device.id)
    identity = Identity(id_scope=Options().id_scope, registration_id=device.id, key=key)
    return scene.run(_registered(scene.dps_url, identity, device.payload))


async def _registered(url: str, identity: Identity, payload: Any) -> State:
    within = aiohttp.ClientTimeout(total=clients.SECONDS)
    async with aiohttp.ClientSession(timeout=within) as session:
        registration = Registration(session=session, url=url, identity=identity, say=lambda _: None)
        return await registration.run(payload)


def _in_hubs(scene: Scene) -> Mapping[str, Mapping[str, Any]]:
    return {device["registrationId"]: device for device in answer(scene.dps.get("/_devices"))}


def _delete(scene: Scene) -> str:
    if not scene.fleet_keys:
        raise NothingToShowError("no group of a fleet was written")
    written = [fleet for fleet in scene.examples.fleets if fleet.group_id in scene.fleet_keys]
    devices = [device.id for fleet in written for device in fleet.devices]
    for id_ in devices:
        scene.sdk.device_registration_state.delete(id_)
    for fleet in written:
        scene.sdk.enrollment_group.delete(fleet.group_id)
    return f"{len(written)} groups and {len(devices)} states gone"
