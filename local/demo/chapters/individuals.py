"""Individual enrollments with the SDK: created, read, changed, and guarded by their etags."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from local.demo.chapters import records
from local.demo.checks import answer, expect, expect_same, refused
from local.demo.scene import Scene, Written
from local.demo.steps import NothingToShowError, Step, Via

# Names the REST reference gives to members of a twin that a user may give to tags as well.
TRICKY = ("version", "count", "metadata")
POLICIES = ("static", "hashed", "geoLatency", "custom")


def steps(scene: Scene) -> list[Step]:
    """One to create each, then what can be done with them."""
    on, written = scene.sdk.enrollment, scene.enrollments
    sent = [example.document for example in scene.examples.enrollments]
    creations = [
        Step(Via.SDK, f"create {id_}", partial(records.create, on, id_, document, written))
        for document in sent
        for id_ in [document["registrationId"]]
    ]
    policies = [
        Step(Via.SDK, f"get those with policy {policy}", partial(_policy, scene, policy))
        for policy in POLICIES
    ]
    return [
        *creations,
        Step(Via.SDK, "get every one of them", partial(records.read_back, on, written)),
        *policies,
        Step(Via.HTTP, f"twins with {', '.join(TRICKY)}", partial(_tricky_twins, scene)),
        Step(
            Via.SDK,
            "read keys by attestation mechanism",
            partial(records.attestation_mechanisms, on, written),
        ),
        Step(Via.SDK, "update policy and twin, by its etag", partial(_update, scene)),
        Step(Via.SDK, "update it again, by the old etag", partial(_stale, scene)),
        Step(Via.SDK, "create one that is there", partial(_again, scene)),
    ]


def _policy(scene: Scene, policy: str) -> str:
    named = {
        id_: written.sent
        for id_, written in scene.enrollments.items()
        if written.sent.get("allocationPolicy") == policy
    }
    if not named:
        raise NothingToShowError(f"no device has policy {policy}")
    hubs: set[str] = set()
    members = ("allocationPolicy", "iotHubs", "customAllocationDefinition")
    for id_, sent in named.items():
        stored = scene.sdk.enrollment.get(id_)
        expect_same(id_, {name: sent.get(name) for name in members}, stored)
        hubs.update(stored.get("iotHubs", []))
    webhook = "; its webhook kept" if policy == "custom" else ""
    return f"{len(named)}, naming {len(hubs)} hub{'s' * (len(hubs) != 1)}{webhook}"


def _tricky_twins(scene: Scene) -> str:
    found = {
        id_: written.sent["initialTwin"]
        for id_, written in scene.enrollments.items()
        if _is_tricky(written.sent.get("initialTwin") or {})
    }
    if not found:
        raise NothingToShowError("no twin has such members")
    for id_, twin in found.items():
        stored = answer(scene.http.get(f"/enrollments/{id_}"))
        expect_same(id_, twin, stored["initialTwin"])
    return f"{', '.join(found)}: kept as sent"


def _is_tricky(twin: Mapping[str, Any]) -> bool:
    parts = (twin.get("tags"), (twin.get("properties") or {}).get("desired"))
    return any(name in part for part in parts if part for name in TRICKY)


def _update(scene: Scene) -> str:
    """As a user does: get, change, put back with the etag that was read."""
    id_, _ = scene.first()
    before = scene.sdk.enrollment.get(id_)
    policy = "hashed" if before.get("allocationPolicy") == "geoLatency" else "geoLatency"
    twin = {"tags": {"changedBy": "demo"}, "properties": {"desired": {"reportEverySeconds": 60}}}
    changed = {**before, "allocationPolicy": policy, "initialTwin": twin}

    scene.sdk.enrollment.create_or_update(id_, changed, if_match=before["etag"])
    after = scene.sdk.enrollment.get(id_)

    expect("a new etag", after["etag"] != before["etag"], wanted=True)
    names = ("allocationPolicy", "initialTwin", "createdDateTimeUtc", "provisioningStatus")
    expect_same(id_, {name: changed.get(name) for name in names}, after)
    return f"{id_}: {policy} now, new etag"


def _stale(scene: Scene) -> str:
    id_, record = scene.first()
    return refused(lambda: _put(scene, id_, record, record.answer["etag"]), 412, 412001)


def _again(scene: Scene) -> str:
    id_, record = scene.first()
    return refused(lambda: _put(scene, id_, record, None), 409, 409201)


def _put(scene: Scene, id_: str, record: Written, etag: str | None) -> object:
    return scene.sdk.enrollment.create_or_update(id_, record.sent, if_match=etag)
