"""The messages that a demo sends: bodies, and a list that says how and what is to come of them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.documents import merged
from shared.messaging.results import EVENT_TYPE

REQUESTS, BULK = "enrollment-requests", "bulk-operations"
SUCCEEDED = "succeeded"

_MEMBERS = {"file", "shows", "message", "expect", "patch"}
_PROPERTIES = {
    "message_id",
    "content_type",
    "correlation_id",
    "subject",
    "reply_to",
    "application_properties",
}
_PATHS = {"registrationId": "/enrollments", "enrollmentGroupId": "/enrollmentGroups"}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One record that a message names; `record` is all that the message says of it."""

    path: str
    id: str
    is_deleted: bool
    record: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """
    One message to send.

    `properties` go to the SDK as they are. `expected` has for each record's id what is to become of
    it: `succeeded`, or the reason that it is rejected for; the id is "" where none can be told.
    `patch`, if there is one, mends what is rejected.
    """

    shows: str
    body: bytes = field(repr=False)
    properties: Mapping[str, Any]
    expected: Mapping[str, str]
    patch: Mapping[str, Any] | None = None

    @property
    def message_id(self) -> str:
        """Its name among all of them."""
        return str(self.properties["message_id"])

    @property
    def correlation_id(self) -> str:
        """What its results will have."""
        return str(self.properties.get("correlation_id") or self.message_id)

    @property
    def request(self) -> Any:
        """The JSON of the request, `None` if it cannot be read."""
        return request_in(self.body)

    @property
    def queue(self) -> str:
        """The queue for it: a request for many has a `mode`."""
        request = self.request
        return BULK if isinstance(request, dict) and "mode" in request else REQUESTS

    @property
    def asked(self) -> list[Asked]:
        """The records that it names."""
        return asked_in(self.body)

    @property
    def mended(self) -> list[Asked]:
        """The records that it names with its patch laid on it."""
        return asked_in(json.dumps(merged(_json(self.body), self.patch)).encode())

    @property
    def rejections(self) -> dict[str, str]:
        """The reasons that are expected, by id."""
        return {id_: became for id_, became in self.expected.items() if became != SUCCEEDED}


def read(directory: Path, faults: list[str]) -> Iterator[Delivery]:
    """
    What `messages.json` of the directory lists, in its order, then the other files of `messages/`.

    Those must succeed. Results are passed over.
    """
    entries = list(_listed(directory / "messages.json", faults))
    bodies = directory / "messages"
    named = {entry["file"] for entry in entries}
    others = [path for path in sorted(bodies.glob("*.json")) if path.name not in named]
    entries += [{"file": path.name} for path in others if not _is_result(path)]
    seen: set[str] = set()
    for entry in entries:
        try:
            delivery = _delivery(bodies / entry["file"], entry)
        except OSError as error:
            faults.append(f"{bodies / entry['file']} cannot be read: {error}")
            continue
        if delivery.message_id in seen:
            faults.append(
                f"{directory / 'messages.json'}: two have message_id {delivery.message_id}"
            )
        seen.add(delivery.message_id)
        yield delivery


def _listed(path: Path, faults: list[str]) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    try:
        entries = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        faults.append(f"{path} cannot be read as JSON: {error}")
        return
    for position, entry in enumerate(entries if isinstance(entries, list) else [None]):
        if fault := _fault_of(entry):
            faults.append(f"{path}: entry {position} {fault}")
        else:
            yield entry


def _fault_of(entry: Any) -> str | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("file"), str):
        return "must be an object with file"
    if unknown := entry.keys() - _MEMBERS:
        return f"has {', '.join(sorted(unknown))}, which nobody knows"
    for name in _MEMBERS - {"file", "shows"}:
        if not isinstance(entry.get(name, {}), dict):
            return f"has {name}, which is no object"
    if unknown := entry.get("message", {}).keys() - _PROPERTIES:
        return f"has {', '.join(sorted(unknown))} in message, which nobody knows"
    return None


def _delivery(path: Path, entry: Mapping[str, Any]) -> Delivery:
    body = path.read_bytes()
    ids = [asked.id for asked in asked_in(body)]
    return Delivery(
        shows=str(entry.get("shows", path.stem)),
        body=body,
        properties={"message_id": path.stem, **entry.get("message", {})},
        expected=entry.get("expect") or dict.fromkeys(ids or [""], SUCCEEDED),
        patch=entry.get("patch"),
    )


def _is_result(path: Path) -> bool:
    document = _json(path.read_bytes())
    return isinstance(document, dict) and document.get("type") == EVENT_TYPE


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def request_in(body: bytes) -> Any:
    """The JSON of a request, out of its CloudEvent if it is in one; `None` if it cannot be read."""
    document = _json(body)
    is_event = isinstance(document, dict) and "specversion" in document
    return document.get("data") if is_event else document


def asked_in(body: bytes) -> list[Asked]:
    """The records that the body of a request names."""
    return list(_asked_in(request_in(body)))


def _asked_in(request: Any) -> Iterator[Asked]:
    if not isinstance(request, dict):
        return
    is_deleted = "delete" in (request.get("operation"), request.get("mode"))
    for record in _records_in(request):
        for member, path in _PATHS.items():
            if isinstance(record.get(member), str):
                yield Asked(path=path, id=record[member], is_deleted=is_deleted, record=record)


def _records_in(request: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    found: list[Any] = [request, request.get("enrollment"), request.get("enrollmentGroup")]
    for name in ("enrollments", "enrollmentGroups"):
        many = request.get(name)
        found += many if isinstance(many, list) else []
    return [record for record in found if isinstance(record, dict)]
