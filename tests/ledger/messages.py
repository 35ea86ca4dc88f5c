"""Random messages to the queues, with the outcomes that are expected of them."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from azure.servicebus import ServiceBusMessage, ServiceBusMessageBatch

from shared.dps.models import ENROLLMENT_GROUP, RecordKind
from tests import secret_factory

Key = tuple[str, str]
"""A record: its collection, and its id in lower case, as DPS compares ids."""
Document = Mapping[str, Any]
Properties = dict[str | bytes, Any]
"""Application properties, typed as the SDK takes them."""

SINGLE, BULK = "enrollment-requests", "bulk-operations"
SUCCEEDED = "succeeded"

# The first three digits of the result's error code, by the reason of the rejection.
STATUS_BY_REASON = {
    "InvalidRequest": 400,
    "UnsupportedMediaType": 415,
    "DpsBadRequest": 400,
    "DpsNotFound": 404,
    "DpsConflict": 409,
    "DpsPreconditionFailed": 412,
    # Only out of order: the message that followed has changed the record.
    "OutcomeUnknown": 503,
}

_JSON, _EVENT_BATCH = "application/json", "application/cloudevents-batch+json"


def etag_placeholder(key: Key) -> str:
    """Returns the text that is replaced by the record's etag when the message is sent."""
    return f"<etag of {key[0]}/{key[1]}>"


@dataclass(frozen=True, kw_only=True)
class Item:
    """
    One request of a message and its expected outcomes: `SUCCEEDED`, or reasons of a rejection.

    If the first is `SUCCEEDED`, at least one of the observed outcomes must be that.
    """

    key: Key | None
    """`None` if the record cannot be read from the message."""
    outcomes: tuple[str, ...] = (SUCCEEDED,)

    def __str__(self) -> str:
        return "/".join(self.key or ())


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message to send, and the outcomes expected of its items."""

    id: str
    description: str
    queue: str
    body: bytes
    items: tuple[Item, ...]
    content_type: str | None = _JSON
    properties: Properties = field(default_factory=dict)
    copies: int = 1
    """How many times the message is sent, with the same message id."""
    is_dead_lettered: bool = False
    """Whether the message ends in the dead-letter queue, without an outcome."""

    @property
    def etag_keys(self) -> list[Key]:
        """The records whose etags the body needs."""
        keys = [item.key for item in self.items if item.key]
        return [key for key in keys if etag_placeholder(key).encode() in self.body]

    def body_with_etags(self, etags: Mapping[Key, str]) -> bytes:
        """Returns the body with current etags in place of the placeholders."""
        body = self.body
        for key in self.etag_keys:
            body = body.replace(etag_placeholder(key).encode(), etags[key].encode())
        return body


@dataclass(kw_only=True)
class Scenario:
    """Messages for the same records, each sent when the one before it is finished."""

    messages: list[Message] = field(default_factory=list)
    initial_records: dict[Key, Document] = field(default_factory=dict)
    final_records: dict[Key, Document | None] = field(default_factory=dict)
    """Records after the last message; `None` if there must be none."""
    final_keys: dict[Key, Mapping[str, str]] = field(default_factory=dict)
    """Symmetric keys that records must have at the end, where a request gave them."""
    possible_states: dict[Key, list[Document | None]] = field(default_factory=dict)
    """All states that a record may have, in whatever order the messages are applied."""


# Records


# Only a few, because after each test the logs are searched for each of them.
_KEYS = _CERTIFICATES = 8


@cache
def _key_pairs() -> list[Mapping[str, str]]:
    make = secret_factory.symmetric_key
    return [{"primaryKey": make(), "secondaryKey": make()} for _ in range(_KEYS)]


@cache
def _certificates() -> list[str]:
    return [secret_factory.certificate(f"ledger-{n}") for n in range(_CERTIFICATES)]


@cache
def _endorsement_key() -> str:
    return secret_factory.endorsement_key()


@dataclass(kw_only=True)
class Record:
    """A record that a scenario's messages change; `document` is `None` if it does not exist."""

    scenario: Scenario
    rng: random.Random
    kind: RecordKind
    id: str
    attestation: str = ""
    document: Document | None = None
    _symmetric_keys: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kinds = ["symmetricKey"] * 8 + ["x509", "x509" if self._is_group else "tpm"]
        self.attestation = self.attestation or self.rng.choice(kinds)

    @property
    def key(self) -> Key:
        """Collection and id in lower case."""
        return self.kind.path, self.id.casefold()

    @property
    def _is_group(self) -> bool:
        return self.kind is ENROLLMENT_GROUP

    def create_initially(self) -> None:
        """Adds it to the records that exist before the first message."""
        self.expect_written(self.create_document("before"))
        self.scenario.initial_records[self.key] = self.document or {}

    def create_document(self, mark: str) -> dict[str, Any]:
        """Returns a document that differs from all others; most give no symmetric keys."""
        return {
            self.kind.id_member: self.spell_id(),
            "attestation": self._create_attestation(),
            "provisioningStatus": self.rng.choice(["enabled", "disabled"]),
            "initialTwin": {"tags": {"ledger": mark, "line": self.rng.randrange(100)}},
            "x-unknown": {"kept": [mark, None, {}]},
        }

    def spell_id(self) -> str:
        """Returns its id, sometimes in upper case, which means the same."""
        return self.id.upper() if self.rng.random() < 0.1 else self.id

    def expect_written(self, document: Document) -> None:
        """Expects that it is replaced by `document`; keys that are not given are kept."""
        given = document["attestation"].get("symmetricKey")
        self._symmetric_keys = given or (self._symmetric_keys if self.document else {})
        self._expect_state(document)
        self.scenario.final_keys.pop(self.key, None)
        if self._symmetric_keys:
            self.scenario.final_keys[self.key] = self._symmetric_keys

    def expect_deleted(self) -> None:
        """Expects that it is deleted."""
        self._expect_state(None)
        self.scenario.final_keys.pop(self.key, None)

    def allow_state(self, document: Document) -> None:
        """Allows a state that it takes only if a message is applied out of order."""
        self.scenario.possible_states.setdefault(self.key, []).append(document)

    def _expect_state(self, document: Document | None) -> None:
        self.document = document
        self.scenario.final_records[self.key] = document
        self.scenario.possible_states.setdefault(self.key, []).append(document)

    def _create_attestation(self) -> dict[str, Any]:
        if self.attestation == "tpm":
            return {"type": "tpm", "tpm": {"endorsementKey": _endorsement_key()}}
        if self.attestation == "x509":
            use = "signingCertificates" if self._is_group else "clientCertificates"
            primary = {"certificate": self.rng.choice(_certificates())}
            return {"type": "x509", "x509": {use: {"primary": primary}}}
        if self.rng.random() < 0.3:
            return {"type": "symmetricKey", "symmetricKey": self.rng.choice(_key_pairs())}
        return {"type": "symmetricKey"}


# Requests for one record


Body = dict[str, Any]
CreateRequest = Callable[[Record, str], Body]
Operation = tuple[CreateRequest, str, tuple[str, ...]]
"""A function that creates the request, its outcome, and those also allowed if it is sent twice."""

_MEMBER = {"enrollments": "enrollment", "enrollmentGroups": "enrollmentGroup"}
_STALE_ETAG = "IjAwMDAwMDAwLTAwMDAtMDAwMC0wMDAwLTAwMDAwMDAwMDAwMCI="


def _write(record: Record, operation: str, id: str, **members: Any) -> Body:
    document = record.create_document(id)
    record.expect_written(document)
    return {"operation": operation, _MEMBER[record.kind.path]: document, **members}


def _write_refused(record: Record, operation: str, id: str, **members: Any) -> Body:
    document = record.create_document(id)
    record.allow_state(document)
    return {"operation": operation, _MEMBER[record.kind.path]: document, **members}


def _delete(record: Record, _: str, **members: Any) -> Body:
    record.expect_deleted()
    by_id = {record.kind.id_member: record.spell_id()}
    by_record = {_MEMBER[record.kind.path]: by_id}
    return {"operation": "delete", **record.rng.choice([by_id, by_record]), **members}


def _if_match(record: Record) -> str:
    etag = etag_placeholder(record.key)
    return record.rng.choice([etag, f'"{etag}"'])


ON_EXISTING: dict[str, Operation] = {
    "upsert over": (lambda r, id: _write(r, "upsert", id), SUCCEEDED, ()),
    "update": (lambda r, id: _write(r, "update", id), SUCCEEDED, ()),
    "update ifMatch": (
        lambda r, id: _write(r, "update", id, ifMatch=_if_match(r)),
        SUCCEEDED,
        ("DpsPreconditionFailed",),
    ),
    "delete": (_delete, SUCCEEDED, ("DpsNotFound",)),
    "delete ifMatch": (
        lambda r, id: _delete(r, id, ifMatch=_if_match(r)),
        SUCCEEDED,
        ("DpsNotFound",),
    ),
    "create over": (lambda r, id: _write_refused(r, "create", id), "DpsConflict", ()),
    "update ifMatch stale": (
        lambda r, id: _write_refused(r, "update", id, ifMatch=_STALE_ETAG),
        "DpsPreconditionFailed",
        (),
    ),
}
ON_MISSING: dict[str, Operation] = {
    "create": (lambda r, id: _write(r, "create", id), SUCCEEDED, ("DpsConflict",)),
    "upsert": (lambda r, id: _write(r, "upsert", id), SUCCEEDED, ()),
    "update missing": (lambda r, id: _write_refused(r, "update", id), "DpsNotFound", ()),
}


def operations_on(record: Record) -> dict[str, Operation]:
    """Returns the operations that suit its state: it exists, or it does not."""
    return ON_MISSING if record.document is None else ON_EXISTING


def create_single(record: Record, name: str, id: str, *, copies: int = 1) -> Message:
    """Returns the message `id` that requests the operation `name` on the record."""
    create_request, outcome, if_repeated = operations_on(record)[name]
    body, content_type, properties = _encode(record, create_request(record, id), id)
    outcomes = (outcome, *(if_repeated if copies > 1 else ()))
    return Message(
        id=id,
        description=f"{name} {record.kind.path}/{record.id}" + f" x{copies}" * (copies > 1),
        queue=SINGLE,
        body=body,
        items=(Item(key=record.key, outcomes=outcomes),),
        content_type=content_type,
        properties=properties,
        copies=copies,
    )


def _encode(record: Record, request: Body, id: str) -> tuple[bytes, str | None, Properties]:
    """Returns body, content type and properties: plain JSON, or a CloudEvent in either mode."""
    event = {"specversion": "1.0", "id": id, "source": "/ledger", "type": "ledger.request"}
    match record.rng.choice(["plain"] * 8 + ["structured", "binary"]):
        case "structured":
            body = _to_json({**event, "data": request})
            return body, "application/cloudevents+json; charset=utf-8", {}
        case "binary":
            properties: Properties = {f"cloudEvents:{name}": event[name] for name in event}
            return _to_json(request), _JSON, properties
    return _to_json(request), record.rng.choice([_JSON, None]), {}


# Bulk requests


BULK_ON_EXISTING = ("update", "updateIfMatchETag", "delete", "upsert")
BULK_ON_MISSING = ("create", "upsert")
_FAULTY_SHARE = 0.05


def create_bulk(records: Sequence[Record], mode: str, id: str, *, copies: int = 1) -> Message:
    """Returns the message `id` that does the same to all records; some of its items are faulty."""
    parts = [_bulk_item(record, mode, f"{id}/{n}") for n, record in enumerate(records)]
    path = records[0].kind.path
    return Message(
        id=id,
        description=f"bulk {mode} of {len(records)} {path}" + f" x{copies}" * (copies > 1),
        queue=BULK,
        body=_to_json({"mode": mode, path: [document for document, _ in parts]}),
        items=tuple(item for _, item in parts),
        copies=copies,
    )


def _bulk_item(record: Record, mode: str, mark: str) -> tuple[Body, Item]:
    if mode != "delete" and record.rng.random() < _FAULTY_SHARE:
        create_faulty = record.rng.choice([_without_attestation, _with_unlinked_hub])
        return create_faulty(record, mark, mode)
    if mode == "delete":
        record.expect_deleted()
        return {record.kind.id_member: record.spell_id()}, Item(key=record.key)
    document = record.create_document(mark)
    record.expect_written(document)
    return {**document, **_etag_member(record, mode)}, Item(key=record.key)


def _without_attestation(record: Record, mark: str, _: str) -> tuple[Body, Item]:
    document = record.create_document(mark)
    del document["attestation"]
    return _faulty(record, document, "InvalidRequest")


# Only DPS knows which hubs are linked.
_UNLINKED_HUB = {"allocationPolicy": "hashed", "iotHubs": ["not-linked.azure-devices.net"]}


def _with_unlinked_hub(record: Record, mark: str, mode: str) -> tuple[Body, Item]:
    document = record.create_document(mark) | _UNLINKED_HUB | _etag_member(record, mode)
    return _faulty(record, document, "DpsBadRequest")


def _faulty(record: Record, document: Body, reason: str) -> tuple[Body, Item]:
    record.scenario.final_records.setdefault(record.key, record.document)
    return document, Item(key=record.key, outcomes=(reason,))


def _etag_member(record: Record, mode: str) -> dict[str, str]:
    return {"etag": etag_placeholder(record.key)} if mode == "updateIfMatchETag" else {}


# Poison messages


_VALID = {"registrationId": "never", "attestation": {"type": "symmetricKey"}}
_TOO_DEEP = 150
# Bytes that a batch adds to its only message, as the SDK counts.
_BATCH_OVERHEAD = 8


def _refused_by_dps(n: int) -> bytes:
    record = {**_VALID, **_UNLINKED_HUB, "registrationId": f"poison-{n}"}
    return _to_json({"operation": "create", "enrollment": record})


def _delete_missing(n: int) -> bytes:
    return _to_json({"operation": "delete", "registrationId": f"poison-{n}"})


Poison = tuple[Callable[[int], bytes], tuple[str, ...], str]
"""A function that creates the body, the expected outcomes, and the content type."""

POISON: dict[str, Poison] = {
    "empty": (lambda _: b"", ("InvalidRequest",), _JSON),
    "truncated": (lambda _: b'{"operation": "create", "enrol', ("InvalidRequest",), _JSON),
    "no text": (lambda n: b"\xff\xfe\x00" + bytes([n % 256]), ("InvalidRequest",), _JSON),
    "member twice": (
        lambda n: b'{"operation": "delete", "registrationId": "a", "registrationId": "b%d"}' % n,
        ("InvalidRequest",),
        _JSON,
    ),
    "list": (lambda n: _to_json([n]), ("InvalidRequest",), _JSON),
    "unknown operation": (
        lambda n: _to_json({"operation": f"frobnicate-{n}", "enrollment": _VALID}),
        ("InvalidRequest",),
        _JSON,
    ),
    "too deep": (lambda _: b"[" * _TOO_DEEP + b"]" * _TOO_DEEP, ("InvalidRequest",), _JSON),
    "batch of events": (lambda _: b"[]", ("UnsupportedMediaType",), _EVENT_BATCH),
    "refused by DPS": (_refused_by_dps, ("DpsBadRequest",), _JSON),
    # A redelivery after a crash assumes that the first delivery deleted the missing record.
    "delete of a missing record": (_delete_missing, ("DpsNotFound", SUCCEEDED), _JSON),
}


def create_poison(n: int, id: str) -> Message:
    """Returns a message that can never be applied; `n` selects the kind."""
    name = list(POISON)[n % len(POISON)]
    create_body, outcomes, content_type = POISON[name]
    return Message(
        id=id,
        description=f"poison: {name}",
        queue=SINGLE,
        body=create_body(n),
        items=(Item(key=None, outcomes=outcomes),),
        content_type=content_type,
        properties={"ledger": id},
    )


def create_too_large(id: str, *, limit: int, rng: random.Random) -> Message:
    """Returns an invalid message so large that a copy with a reason exceeds the queue's limit."""
    room = rng.randrange(40)
    return Message(
        id=id,
        description="too large for a copy with a reason",
        queue=SINGLE,
        body=b"x" * (limit - room - _size_without_body(id)),
        items=(),
        is_dead_lettered=True,
    )


def _size_without_body(id: str) -> int:
    body = b"x" * 1000  # long enough for its length to take four bytes
    batch = ServiceBusMessageBatch(max_size_in_bytes=2**30)
    envelope = batch.size_in_bytes
    batch.add_message(ServiceBusMessage(body, message_id=id, content_type=_JSON))
    return batch.size_in_bytes - envelope - _BATCH_OVERHEAD - len(body)


def _to_json(document: Any) -> bytes:
    return json.dumps(document).encode()
