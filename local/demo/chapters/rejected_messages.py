"""Rejected messages: list, replay with a patch, discard; then a bulk delete by message."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from local.demo.chapters.enrollments import Operations
from local.demo.chapters.messages import expect_applied, expect_event
from local.demo.checks import expect, expect_document
from local.demo.context import DemoContext
from local.demo.example_messages import BULK, SUCCEEDED, ExampleMessage
from local.demo.queues import RejectedMessage, create_message
from local.demo.steps import Client, Step, StepSkippedError

MASK = "****"
SECRET_NAMES = {"primarykey", "secondarykey"}


def steps(demo: DemoContext) -> list[Step]:
    """Returns the steps on rejected messages, and one that deletes the records from messages."""
    return [
        Step(Client.HTTP, "GET rejected", partial(_list, demo)),
        Step(Client.HTTP, "POST rejected/replay with dryRun", partial(_replay_dry_run, demo)),
        Step(Client.HTTP, "POST rejected/replay with a patch", partial(_replay_patched, demo)),
        Step(Client.HTTP, "DELETE rejected/{sequenceNumber}", partial(_discard, demo)),
        Step(Client.QUEUE, "bulk delete of all these records", partial(_delete_records, demo)),
    ]


def _list(demo: DemoContext) -> str:
    rejected = _peek(demo)
    response = demo.http.get("/rejected", params={"top": 100})
    entries = expect_document(response)["messages"]
    reasons = {entry["sequenceNumber"]: entry["reason"] for entry in entries}
    expect("reasons", reasons, {copy.sequence_number: copy.reason for copy in rejected})
    keys = {key for message in demo.examples.messages for key in _keys_in(message.request)}
    expect("keys in the response", sum(key in response.text for key in keys), 0)
    masked = {key for entry in entries for key in _keys_in(entry["body"])}
    expect("keys masked", masked <= {MASK}, expected=True)
    counts = ", ".join(
        f"{count} {reason}" for reason, count in sorted(Counter(reasons.values()).items())
    )
    return f"{counts}; keys masked" if masked else counts


def _replay_dry_run(demo: DemoContext) -> str:
    rejected = _peek(demo)
    reason, _ = Counter(copy.reason for copy in rejected).most_common(1)[0]
    request = {"reason": reason, "dryRun": True}
    result = expect_document(demo.http.post("/rejected/replay", json=request))
    numbers = [copy.sequence_number for copy in rejected if copy.reason == reason]
    expect("sequence numbers", result["sequenceNumbers"], sorted(numbers))
    expect("rejected messages", demo.run(demo.queues.peek_rejected()), rejected)
    return f"would replay the {len(numbers)} with reason {reason}"


def _replay_patched(demo: DemoContext) -> str:
    message, copy = _first_with_patch(demo)
    request = {"sequenceNumber": copy.sequence_number, "patch": message.patch}
    replayed = expect_document(demo.http.post("/rejected/replay", json=request))
    expect("replayed", replayed["sequenceNumbers"], [copy.sequence_number])
    results = demo.run(demo.queues.receive_results([message.correlation_id]))
    statuses = {expect_event(result)["data"]["status"] for result in results}
    expect("statuses", statuses, {SUCCEEDED})
    ids = [result.event["subject"] for result in results]
    expect("unexpected ids", [id_ for id_ in ids if id_ not in message.rejections], [])
    expect_applied(demo, [item for item in message.patched_items if item.id in ids])
    return f"{', '.join(ids)} succeeded after a merge patch"


def _first_with_patch(demo: DemoContext) -> tuple[ExampleMessage, RejectedMessage]:
    rejected = _peek(demo)
    for message in demo.examples.messages:
        for copy in rejected:
            if message.patch is not None and copy.source_message_id == message.message_id:
                return message, copy
    raise StepSkippedError("no rejected message has a patch")


def _discard(demo: DemoContext) -> str:
    before = _peek(demo)
    last = before[-1]
    result = expect_document(demo.http.delete(f"/rejected/{last.sequence_number}"))
    expect("discarded", result["sequenceNumbers"], [last.sequence_number])
    after = demo.run(demo.queues.peek_rejected())
    expect("remaining messages", after, before[:-1])
    return f"{last.source_message_id} discarded; {len(after)} others remain"


def _peek(demo: DemoContext) -> Sequence[RejectedMessage]:
    rejected = demo.run(demo.queues.peek_rejected())
    if not rejected:
        raise StepSkippedError("no message was rejected")
    return rejected


def _keys_in(node: Any) -> Iterable[str]:
    if isinstance(node, Mapping):
        for name, value in node.items():
            if name.lower() in SECRET_NAMES and isinstance(value, str):
                yield value
            yield from _keys_in(value)
    for item in node if isinstance(node, list) else ():
        yield from _keys_in(item)


def _delete_records(demo: DemoContext) -> str:
    """Deletes the records that messages created, one bulk message per kind."""
    before = _bulk_calls(demo)
    enrollments = _other_records(demo.sdk.enrollment, "registrationId", demo.enrollments)
    groups = _other_records(demo.sdk.enrollment_group, "enrollmentGroupId", demo.groups)
    if not enrollments and not groups:
        raise StepSkippedError("no message created a record")
    for name, records in (("enrollments", enrollments), ("enrollmentGroups", groups)):
        if records:
            demo.run(_send_delete(demo, name, records))
    count, calls = len(enrollments) + len(groups), _bulk_calls(demo) - before
    return f"{count} deleted; {calls} calls to DPS"


async def _send_delete(demo: DemoContext, name: str, records: Sequence[Mapping[str, str]]) -> None:
    id_ = f"demo-delete-{name}"
    message = create_message({"mode": "delete", name: records}, message_id=id_)
    await demo.queues.send(BULK, message)
    results = await demo.queues.receive_results([id_], len(records))
    statuses = {expect_event(result)["data"]["status"] for result in results}
    expect("statuses", statuses, {SUCCEEDED})


def _other_records(
    operations: Operations, member: str, created: Collection[str]
) -> Sequence[Mapping[str, str]]:
    """Returns the keys of the records in DPS that are not among those created over HTTP."""
    records = operations.query({"query": "SELECT *"})
    return [{member: record[member]} for record in records if record[member] not in created]


def _bulk_calls(demo: DemoContext) -> int:
    return sum(demo.dps_calls(f"{kind}.bulk") for kind in ("enrollments", "enrollmentGroups"))
