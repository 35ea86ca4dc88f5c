"""Enrollments and enrollment groups: create, read, update, and conflicts by etag."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from azure.iot.deviceprovisioning.operations import EnrollmentGroupOperations, EnrollmentOperations

from local.demo.checks import (
    expect,
    expect_document,
    expect_error,
    expect_same,
    expect_same_record,
    expect_two_keys,
)
from local.demo.context import CreatedRecord, DemoContext
from local.demo.examples import Document
from local.demo.steps import CheckFailedError, Client, Step, StepSkippedError

Operations = EnrollmentOperations | EnrollmentGroupOperations

# Members that the REST reference defines on a twin, and that users also use as names of tags.
RESERVED_NAMES = ("version", "count", "metadata")
POLICIES = ("static", "hashed", "geoLatency", "custom")


def individual_steps(demo: DemoContext) -> list[Step]:
    """Returns the steps on individual enrollments."""
    documents = {
        example.document["registrationId"]: example.document
        for example in demo.examples.enrollments
    }
    create, get, get_keys = _record_steps(demo.sdk.enrollment, documents, demo.enrollments)
    policies = [
        Step(Client.SDK, f"get those with policy {policy}", partial(_get_by_policy, demo, policy))
        for policy in POLICIES
    ]
    return [
        *create,
        get,
        *policies,
        Step(Client.HTTP, f"get twins with {', '.join(RESERVED_NAMES)}", partial(_get_twins, demo)),
        get_keys,
        Step(Client.SDK, "update policy and twin, with etag", partial(_update, demo)),
        Step(Client.SDK, "update with the old etag", partial(_update_with_old_etag, demo)),
        Step(Client.SDK, "create an existing enrollment", partial(_create_again, demo)),
        Step(Client.HTTP, "send what other tools spell", partial(_respell, demo)),
        Step(Client.HTTP, "write a masked webhook URL back", partial(_write_masked_url, demo)),
    ]


def group_steps(demo: DemoContext) -> list[Step]:
    """Returns the steps on enrollment groups."""
    documents = {
        example.document["enrollmentGroupId"]: example.document for example in demo.examples.groups
    }
    create, get, get_keys = _record_steps(demo.sdk.enrollment_group, documents, demo.groups)
    return [*create, get, get_keys]


def _record_steps(
    operations: Operations, documents: Mapping[str, Document], created: dict[str, CreatedRecord]
) -> tuple[list[Step], Step, Step]:
    """Returns the steps that create the records, get them, and get their keys."""
    create = [
        Step(Client.SDK, f"create {id_}", partial(_create, operations, id_, document, created))
        for id_, document in documents.items()
    ]
    get = Step(Client.SDK, "get each of them", partial(_get, operations, created))
    call: Callable[[], str] = partial(_get_attestation_mechanisms, operations, created)
    return create, get, Step(Client.SDK, "get attestation mechanisms", call)


def _create(
    operations: Operations, id_: str, document: Document, created: dict[str, CreatedRecord]
) -> str:
    stored = dict(operations.create_or_update(id_, document))
    created[id_] = CreatedRecord(document, stored)
    expect("etag", bool(stored.get("etag")), expected=True)
    expect_same_record(id_, document, stored)
    text = ", ".join(_properties(stored))
    if stored["attestation"]["type"] != "symmetricKey":
        return text
    expect_two_keys(stored["attestation"])
    return f"{text}; keys returned"


def _properties(stored: Mapping[str, Any]) -> Iterator[str]:
    yield stored["attestation"]["type"]
    if policy := stored.get("allocationPolicy"):
        yield policy
    if (stored.get("capabilities") or {}).get("iotEdge"):
        yield "IoT Edge"
    if stored.get("provisioningStatus") == "disabled":
        yield "disabled"


def _get(operations: Operations, created: Mapping[str, CreatedRecord]) -> str:
    if not created:
        raise StepSkippedError("none was created")
    for id_, record in created.items():
        stored = operations.get(id_)
        expect(f"etag of {id_} unchanged", stored["etag"] == record.stored["etag"], expected=True)
        expect_same_record(id_, record.sent, stored)
        _expect_same_attestation(id_, record.sent["attestation"], stored["attestation"])
    return f"{len(created)} as sent; no keys returned"


def _expect_same_attestation(id_: str, sent: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    expect(f"keys of {id_} in the response", stored.get("symmetricKey"), None)
    expect_same(id_, {"type": sent["type"], "tpm": sent.get("tpm")}, stored)
    for kind, certificates in (sent.get("x509") or {}).items():
        for slot in certificates or {}:
            certificate = stored["x509"][kind][slot]
            if kind != "caReferences" and "sha256Thumbprint" not in certificate["info"]:
                raise CheckFailedError(f"{id_}: DPS has not parsed the {slot} certificate")


def _get_attestation_mechanisms(
    operations: Operations, created: Mapping[str, CreatedRecord]
) -> str:
    attestations = {id_: record.stored["attestation"] for id_, record in created.items()}
    keyed = {id_: a for id_, a in attestations.items() if a["type"] == "symmetricKey"}
    if not keyed:
        raise StepSkippedError("none has keys")
    for id_, attestation in keyed.items():
        keys = expect_two_keys(operations.get_attestation_mechanism(id_))
        expect(f"{id_} has unchanged keys", keys == expect_two_keys(attestation), expected=True)
    return f"{len(keyed)} with the keys returned at creation"


def _get_by_policy(demo: DemoContext, policy: str) -> str:
    documents = {
        id_: created.sent
        for id_, created in demo.enrollments.items()
        if created.sent.get("allocationPolicy") == policy
    }
    if not documents:
        raise StepSkippedError(f"no enrollment has the policy {policy}")
    hubs: set[str] = set()
    members = ("allocationPolicy", "iotHubs", "customAllocationDefinition")
    for id_, sent in documents.items():
        stored = demo.sdk.enrollment.get(id_)
        expect_same(id_, {name: sent.get(name) for name in members}, stored)
        hubs.update(stored.get("iotHubs", []))
    webhook = " and webhook" if policy == "custom" else ""
    return f"{len(documents)} with hubs{webhook} as sent ({len(hubs)} hubs)"


def _get_twins(demo: DemoContext) -> str:
    twins = {
        id_: created.sent["initialTwin"]
        for id_, created in demo.enrollments.items()
        if _has_reserved_name(created.sent.get("initialTwin") or {})
    }
    if not twins:
        raise StepSkippedError("no twin has such members")
    for id_, twin in twins.items():
        stored = expect_document(demo.http.get(f"/enrollments/{id_}"))
        expect_same(id_, twin, stored["initialTwin"])
    return f"{', '.join(twins)}: twin as sent"


def _has_reserved_name(twin: Mapping[str, Any]) -> bool:
    parts = (twin.get("tags"), (twin.get("properties") or {}).get("desired"))
    return any(name in part for part in parts if part for name in RESERVED_NAMES)


def _update(demo: DemoContext) -> str:
    """Gets a record, changes it, and puts it back with the etag that was read."""
    id_, _ = demo.first_enrollment()
    before = demo.sdk.enrollment.get(id_)
    policy = "hashed" if before.get("allocationPolicy") == "geoLatency" else "geoLatency"
    twin = {"tags": {"changedBy": "demo"}, "properties": {"desired": {"reportEverySeconds": 60}}}
    changed = {**before, "allocationPolicy": policy, "initialTwin": twin}

    demo.sdk.enrollment.create_or_update(id_, changed, if_match=before["etag"])
    after = demo.sdk.enrollment.get(id_)

    expect("a new etag", after["etag"] != before["etag"], expected=True)
    names = ("allocationPolicy", "initialTwin", "createdDateTimeUtc", "provisioningStatus")
    expect_same(id_, {name: changed.get(name) for name in names}, after)
    return f"{id_}: {policy}, new etag"


def _update_with_old_etag(demo: DemoContext) -> str:
    id_, record = demo.first_enrollment()
    return expect_error(lambda: _put(demo, id_, record, record.stored["etag"]), 412, 412001)


def _create_again(demo: DemoContext) -> str:
    id_, record = demo.first_enrollment()
    return expect_error(lambda: _put(demo, id_, record, None), 409, 409201)


def _respell(demo: DemoContext) -> str:
    """Sends an enum as ARM templates spell it, then a typing error in a member's name."""
    path, enrollment = "/enrollments/demo-spelling", _enrollment("demo-spelling")
    stored = expect_document(demo.http.put(path, json={**enrollment, "allocationPolicy": "Hashed"}))
    expect("policy", stored["allocationPolicy"], "hashed")
    misspelt = {**enrollment, "provisioningStatuss": "disabled"}
    faults = expect_document(demo.http.put(path, json=misspelt), 400)["info"]
    demo.http.delete(path).raise_for_status()
    return f"Hashed is stored as hashed; {_only_fault(faults)}"


def _write_masked_url(demo: DemoContext) -> str:
    """Reads an enrollment whose webhook URL DPS masks, and writes it back as it was read."""
    path, webhook = "/enrollments/demo-masked", "https://my-app.example/allocation?code=secret"
    definition = {"webhookUrl": webhook, "apiVersion": "2021-10-01"}
    custom = {"allocationPolicy": "custom", "customAllocationDefinition": definition}
    demo.http.put(path, json={**_enrollment("demo-masked"), **custom}).raise_for_status()
    read = expect_document(demo.http.get(path))
    masked = read["customAllocationDefinition"]["webhookUrl"]
    expect("webhook URL", masked, webhook.replace("code=secret", "****"))
    response = demo.http.put(path, json=read, headers={"If-Match": read["etag"]})
    (pointer,) = expect_document(response, 400)["info"]
    demo.http.delete(path).raise_for_status()
    return f"refused: {pointer}; ALLOCATION_WEBHOOK_URLS would complete it"


def _enrollment(id_: str) -> Document:
    return {"registrationId": id_, "attestation": {"type": "symmetricKey"}}


def _only_fault(faults: Mapping[str, str]) -> str:
    ((pointer, text),) = faults.items()
    return f"{pointer} {text}"


def _put(demo: DemoContext, id_: str, record: CreatedRecord, etag: str | None) -> object:
    return demo.sdk.enrollment.create_or_update(id_, record.sent, if_match=etag)
