"""Bulk operations: more records than DPS takes, partial failures, and the upsert mode."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from local.demo.checks import expect, expect_document, expect_same, expect_two_keys
from local.demo.context import DemoContext
from local.demo.examples import Document, Example
from local.demo.steps import Client, Step, StepSkippedError

MAX_RECORDS_PER_CALL = 10  # the limit of a bulk call to DPS
OPERATION = "enrollments.bulk"
CREATING_MODES = ("create", "upsert")
UPSERTED = 12

# Invalid values, by their pointer in the document.
INVALID_VALUES: dict[str, Any] = {
    "/attestation/type": "fingerprint",
    "/allocationPolicy": "nearest",
    "/capabilities/iotEdge": "perhaps",
    "/provisioningStatus": "on",
    "/initialTwin/tags": ["no", "object"],
}


def steps(demo: DemoContext) -> list[Step]:
    """Returns a step per bulk file, then steps on the records that those created."""
    from_files = [
        Step(
            Client.HTTP,
            f"POST {len(example.document['enrollments'])} enrollments in one request",
            partial(_run_file, demo, example),
        )
        for example in demo.examples.bulk
    ]
    return [
        *from_files,
        Step(Client.HTTP, "POST 3, of which 1 already exists", partial(_create_existing, demo)),
        Step(Client.HTTP, f"POST {UPSERTED} with mode upsert", partial(_upsert, demo)),
        Step(
            Client.HTTP,
            f"PUT an enrollment with {len(INVALID_VALUES)} faults",
            partial(_put_invalid, demo),
        ),
        Step(Client.SDK_AIO, "bulk delete of all of these", lambda: demo.run(_delete(demo))),
    ]


def _run_file(demo: DemoContext, example: Example) -> str:
    records = example.document["enrollments"]
    calls = _run_successfully(demo, example.document)
    expect("bulk calls to DPS", calls, math.ceil(len(records) / MAX_RECORDS_PER_CALL))
    return f"{len(records)} succeeded; {calls} calls to DPS"


def _create_existing(demo: DemoContext) -> str:
    if not demo.enrollments:
        raise StepSkippedError("no enrollment was created")
    existing, created = next(iter(demo.enrollments.items()))
    new = [_new_enrollment(1), _new_enrollment(2)]
    operation = {"mode": "create", "enrollments": [*new, created.sent]}
    result = expect_document(demo.http.post("/enrollments", json=operation))
    demo.bulk_enrollments.update(_by_id(new))
    expect("isSuccessful", result["isSuccessful"], expected=False)
    errors = {error["registrationId"]: error["errorCode"] for error in result["errors"]}
    expect("errors", errors, {existing: 409201})
    expect("created", [_exists(demo, record) for record in new], [True, True])
    return f"HTTP 200: 2 created; error 409201 for {existing}"


def _upsert(demo: DemoContext) -> str:
    """Checks that existing records are replaced and keep their keys, and the others are created."""
    if not demo.bulk_enrollments:
        raise StepSkippedError("no bulk operation created a record")
    old = list(demo.bulk_enrollments.values())[: UPSERTED - 2]
    new = [_new_enrollment(number) for number in range(3, 3 + UPSERTED - len(old))]
    twin = {"tags": {"upserted": True}}
    before = _keys(demo, old)
    changed = [{**record, "initialTwin": twin} for record in [*old, *new]]
    _run_successfully(demo, {"mode": "upsert", "enrollments": changed})
    for record in (*old, *new):
        path = f"/enrollments/{record['registrationId']}"
        expect_same(path, twin, expect_document(demo.http.get(path)).get("initialTwin"))
    expect("keys kept", _keys(demo, old) == before, expected=True)
    return f"{len(old)} replaced with keys kept, {len(new)} created"


def _put_invalid(demo: DemoContext) -> str:
    document: Document = _new_enrollment(99)
    for pointer, value in INVALID_VALUES.items():
        *parents, member = pointer.strip("/").split("/")
        node = document
        for parent in parents:
            node = node.setdefault(parent, {})
        node[member] = value
    before = demo.dps_calls()
    response = demo.http.put(f"/enrollments/{document['registrationId']}", json=document)
    faults = expect_document(response, 400)["info"]
    expect("pointers in info", sorted(faults), sorted(INVALID_VALUES))
    expect("calls to DPS", demo.dps_calls() - before, 0)
    return f"HTTP 400 with every fault: {' '.join(faults)}"


async def _delete(demo: DemoContext) -> str:
    if not demo.bulk_enrollments:
        raise StepSkippedError("no bulk operation created a record")
    before = demo.dps_calls(OPERATION)
    records = [{"registrationId": id_} for id_ in demo.bulk_enrollments]
    operation = {"mode": "delete", "enrollments": records}
    result = await demo.aio.enrollment.run_bulk_operation(operation)
    _expect_success(result)
    calls = demo.dps_calls(OPERATION) - before
    expect("bulk calls to DPS", calls, math.ceil(len(records) / MAX_RECORDS_PER_CALL))
    return f"{len(records)} deleted; {calls} calls to DPS"


def _run_successfully(demo: DemoContext, operation: Document) -> int:
    """Runs a bulk operation in which every record must succeed; returns the number of DPS calls."""
    before = demo.dps_calls(OPERATION)
    result = expect_document(demo.http.post("/enrollments", json=operation))
    if operation["mode"] in CREATING_MODES:
        demo.bulk_enrollments.update(_by_id(operation["enrollments"]))
    _expect_success(result)
    return demo.dps_calls(OPERATION) - before


def _expect_success(result: Any) -> None:
    expect("ids with errors", [error["registrationId"] for error in result["errors"]], [])
    expect("isSuccessful", result["isSuccessful"], expected=True)


def _by_id(records: Sequence[Document]) -> dict[str, Document]:
    return {record["registrationId"]: record for record in records}


def _new_enrollment(number: int) -> Document:
    return {"registrationId": f"demo-new-{number}", "attestation": {"type": "symmetricKey"}}


def _exists(demo: DemoContext, record: Document) -> bool:
    return demo.http.get(f"/enrollments/{record['registrationId']}").is_success


def _keys(demo: DemoContext, records: Sequence[Document]) -> list[tuple[str, str]]:
    paths = [f"/enrollments/{id_}/attestationmechanism" for id_ in _by_id(records)]
    mechanisms = [expect_document(demo.http.post(path)) for path in paths]
    return [expect_two_keys(mechanism) for mechanism in mechanisms if "symmetricKey" in mechanism]
