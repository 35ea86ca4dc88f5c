"""What was rejected: read, mended, replayed, discarded; then a message deletes what messages made."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from local.demo.chapters import records
from local.demo.chapters.messages import check_records, sound
from local.demo.checks import answer, expect
from local.demo.deliveries import BULK, SUCCEEDED, Delivery
from local.demo.queues import Parked, message
from local.demo.scene import Scene
from local.demo.steps import NothingToShowError, Step, Via

MASK = "****"
SECRETS = {"primarykey", "secondarykey"}


def steps(scene: Scene) -> list[Step]:
    """All over HTTP but the last."""
    return [
        Step(Via.HTTP, "GET rejected", partial(_read, scene)),
        Step(Via.HTTP, "POST rejected/replay, dryRun", partial(_rehearse, scene)),
        Step(Via.HTTP, "POST rejected/replay of one, mended", partial(_mend, scene)),
        Step(Via.HTTP, "DELETE rejected/{sequenceNumber}", partial(_discard, scene)),
        Step(Via.QUEUE, "a bulk delete of what messages made", partial(_clear, scene)),
    ]


def _read(scene: Scene) -> str:
    parked = _parked(scene)
    reply = scene.http.get("/rejected", params={"top": 100})
    entries = answer(reply)["messages"]
    listed = {entry["sequenceNumber"]: entry["reason"] for entry in entries}
    expect("reasons by number", listed, {copy.sequence_number: copy.reason for copy in parked})
    keys = {key for delivery in scene.examples.messages for key in _keys_in(delivery.request)}
    expect("keys in the answer", sum(key in reply.text for key in keys), 0)
    shown = {key for entry in entries for key in _keys_in(entry["body"])}
    expect("keys as asterisks", shown <= {MASK}, wanted=True)
    reasons = Counter(listed.values())
    masked = "; a key in one is ****" if shown else ""
    return ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items())) + masked


def _rehearse(scene: Scene) -> str:
    parked = _parked(scene)
    reason, _ = Counter(copy.reason for copy in parked).most_common(1)[0]
    told = answer(scene.http.post("/rejected/replay", json={"reason": reason, "dryRun": True}))
    wanted = [copy.sequence_number for copy in parked if copy.reason == reason]
    expect("numbers", told["sequenceNumbers"], sorted(wanted))
    expect("what lies there", scene.run(scene.queues.rejected()), parked)
    return f"would replay the {len(wanted)} of reason {reason}"


def _mend(scene: Scene) -> str:
    delivery, copy = _mendable(scene)
    one = {"sequenceNumber": copy.sequence_number, "patch": delivery.patch}
    told = answer(scene.http.post("/rejected/replay", json=one))
    expect("replayed", told["sequenceNumbers"], [copy.sequence_number])
    results = scene.run(scene.queues.results(delivery.correlation_id))
    statuses = {sound(result)["data"]["status"] for result in results}
    expect("statuses", statuses, {SUCCEEDED})
    ids = [result.event["subject"] for result in results]
    expect("id", [id_ for id_ in ids if id_ not in delivery.rejections], [])
    check_records(scene, [asked for asked in delivery.mended if asked.id in ids])
    return f"by a merge patch: {', '.join(ids)} succeeded"


def _mendable(scene: Scene) -> tuple[Delivery, Parked]:
    parked = _parked(scene)
    for delivery in scene.examples.messages:
        for copy in parked:
            if delivery.patch is not None and copy.source_message_id == delivery.message_id:
                return delivery, copy
    raise NothingToShowError("no rejected message has a patch")


def _discard(scene: Scene) -> str:
    before = _parked(scene)
    one = before[-1]
    told = answer(scene.http.delete(f"/rejected/{one.sequence_number}"))
    expect("discarded", told["sequenceNumbers"], [one.sequence_number])
    left = scene.run(scene.queues.rejected())
    expect("what is left", left, before[:-1])
    return f"{one.source_message_id} discarded; {len(left)} others stay"


def _parked(scene: Scene) -> Sequence[Parked]:
    parked = scene.run(scene.queues.rejected())
    if not parked:
        raise NothingToShowError("nothing was rejected")
    return parked


def _keys_in(node: Any) -> Iterable[str]:
    if isinstance(node, Mapping):
        for name, value in node.items():
            if name.lower() in SECRETS and isinstance(value, str):
                yield value
            yield from _keys_in(value)
    for item in node if isinstance(node, list) else ():
        yield from _keys_in(item)


def _clear(scene: Scene) -> str:
    before = _bulk_calls(scene)
    enrollments = _others(scene.sdk.enrollment, "registrationId", scene.enrollments)
    groups = _others(scene.sdk.enrollment_group, "enrollmentGroupId", scene.groups)
    if not enrollments and not groups:
        raise NothingToShowError("messages made nothing")
    for name, found in (("enrollments", enrollments), ("enrollmentGroups", groups)):
        if found:
            scene.run(_deleted(scene, name, found))
    return f"{len(enrollments) + len(groups)} gone; DPS got {_bulk_calls(scene) - before} calls"


async def _deleted(scene: Scene, name: str, those: Sequence[Mapping[str, str]]) -> None:
    id_ = f"demo-delete-{name}"
    await scene.queues.send(BULK, message({"mode": "delete", name: those}, message_id=id_))
    results = await scene.queues.results(id_, len(those))
    statuses = {sound(result)["data"]["status"] for result in results}
    expect("statuses", statuses, {SUCCEEDED})


def _others(
    on: records.Operations, member: str, kept: Collection[str]
) -> Sequence[Mapping[str, str]]:
    found = on.query({"query": "SELECT *"})
    return [{member: record[member]} for record in found if record[member] not in kept]


def _bulk_calls(scene: Scene) -> int:
    return sum(scene.calls(f"{kind}.bulk") for kind in ("enrollments", "enrollmentGroups"))
