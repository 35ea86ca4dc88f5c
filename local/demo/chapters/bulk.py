"""Many records in one request: more than DPS takes, some that fail, and a mode DPS has not."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from local.demo.checks import answer, expect, expect_same, two_keys
from local.demo.examples import Document, Example
from local.demo.scene import Scene
from local.demo.steps import NothingToShowError, Step, Via

A_CALL = 10  # what DPS takes at once
OPERATION = "enrollments.bulk"
CREATING = ("create", "upsert")
UPSERTED = 12

# Pointer in a document: a value that cannot stand there.
FAULTS: dict[str, Any] = {
    "/attestation/type": "fingerprint",
    "/allocationPolicy": "nearest",
    "/capabilities/iotEdge": "perhaps",
    "/provisioningStatus": "on",
    "/initialTwin/tags": ["no", "object"],
}


def steps(scene: Scene) -> list[Step]:
    """One for each file, then what is made from them."""
    loads = [
        Step(
            Via.HTTP,
            f"POST {len(example.document['enrollments'])} enrollments in one request",
            partial(_load, scene, example),
        )
        for example in scene.examples.bulk
    ]
    return [
        *loads,
        Step(Via.HTTP, "POST 2 new ones and 1 that is there", partial(_partial_failure, scene)),
        Step(Via.HTTP, f"POST {UPSERTED} with mode upsert", partial(_upsert, scene)),
        Step(Via.HTTP, f"PUT a document with {len(FAULTS)} faults", partial(_faults, scene)),
        Step(
            Via.SDK_AIO,
            "bulk delete of all of these",
            lambda: scene.run(_delete(scene)),
        ),
    ]


def _load(scene: Scene, example: Example) -> str:
    records = example.document["enrollments"]
    calls = _successful(scene, example.document)
    expect("bulk calls of DPS", calls, math.ceil(len(records) / A_CALL))
    return f"{len(records)} done; DPS got {calls} calls"


def _partial_failure(scene: Scene) -> str:
    if not scene.enrollments:
        raise NothingToShowError("no enrollment was written that could be there")
    there, written = next(iter(scene.enrollments.items()))
    new = [_spare(1), _spare(2)]
    operation = {"mode": "create", "enrollments": [*new, written.sent]}
    result = answer(scene.http.post("/enrollments", json=operation))
    scene.bulk.update(_by_id(new))
    expect("isSuccessful", result["isSuccessful"], wanted=False)
    failed = {error["registrationId"]: error["errorCode"] for error in result["errors"]}
    expect("what failed", failed, {there: 409201})
    expect("created", [_is_there(scene, record) for record in new], [True, True])
    return f"HTTP 200: 2 created; 409201 for {there}"


def _upsert(scene: Scene) -> str:
    """Those that are there are replaced and keep their keys; those that are not are created."""
    if not scene.bulk:
        raise NothingToShowError("nothing was loaded that could be replaced")
    old = list(scene.bulk.values())[: UPSERTED - 2]
    new = [_spare(number) for number in range(3, 3 + UPSERTED - len(old))]
    twin = {"tags": {"upserted": True}}
    before = _keys(scene, old)
    changed = [{**record, "initialTwin": twin} for record in [*old, *new]]
    _successful(scene, {"mode": "upsert", "enrollments": changed})
    for record in (*old, *new):
        path = f"/enrollments/{record['registrationId']}"
        expect_same(path, twin, answer(scene.http.get(path)).get("initialTwin"))
    expect("keys kept", _keys(scene, old) == before, wanted=True)
    return f"{len(old)} replaced, keys kept; {len(new)} created"


def _faults(scene: Scene) -> str:
    document: Document = _spare(99)
    for pointer, value in FAULTS.items():
        *parents, member = pointer.strip("/").split("/")
        place = document
        for parent in parents:
            place = place.setdefault(parent, {})
        place[member] = value
    before = scene.calls()
    reply = scene.http.put(f"/enrollments/{document['registrationId']}", json=document)
    faults = answer(reply, 400)["info"]
    expect("pointers in info", sorted(faults), sorted(FAULTS))
    expect("calls of DPS", scene.calls() - before, 0)
    return f"400, all in info: {' '.join(faults)}"


async def _delete(scene: Scene) -> str:
    if not scene.bulk:
        raise NothingToShowError("nothing was loaded")
    before = scene.calls(OPERATION)
    records = [{"registrationId": id_} for id_ in scene.bulk]
    operation = {"mode": "delete", "enrollments": records}
    result = await scene.aio.enrollment.run_bulk_operation(operation)
    _all_done(result)
    calls = scene.calls(OPERATION) - before
    expect("bulk calls of DPS", calls, math.ceil(len(records) / A_CALL))
    return f"{len(records)} gone; DPS got {calls} calls"


def _successful(scene: Scene, operation: Document) -> int:
    """Posts what must succeed for every record; how many bulk calls of DPS it took."""
    before = scene.calls(OPERATION)
    result = answer(scene.http.post("/enrollments", json=operation))
    if operation["mode"] in CREATING:
        scene.bulk.update(_by_id(operation["enrollments"]))
    _all_done(result)
    return scene.calls(OPERATION) - before


def _all_done(result: Any) -> None:
    expect("ids that failed", [error["registrationId"] for error in result["errors"]], [])
    expect("isSuccessful", result["isSuccessful"], wanted=True)


def _by_id(records: Sequence[Document]) -> dict[str, Document]:
    return {record["registrationId"]: record for record in records}


def _spare(number: int) -> Document:
    return {"registrationId": f"demo-spare-{number}", "attestation": {"type": "symmetricKey"}}


def _is_there(scene: Scene, record: Document) -> bool:
    return scene.http.get(f"/enrollments/{record['registrationId']}").is_success


def _keys(scene: Scene, records: Sequence[Document]) -> list[tuple[str, str]]:
    paths = [f"/enrollments/{id_}/attestationmechanism" for id_ in _by_id(records)]
    mechanisms = [answer(scene.http.post(path)) for path in paths]
    return [two_keys(mechanism) for mechanism in mechanisms if "symmetricKey" in mechanism]
