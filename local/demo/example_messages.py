"""The example messages: their bodies, their properties and the results they must have."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.json_documents import apply_merge_patch
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
class MessageItem:
    """One record in a message; `path` is the collection it belongs to."""

    path: str
    id: str
    is_deleted: bool
    record: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class ExampleMessage:
    """
    A message to send; `properties` are those of the SDK's ServiceBusMessage.

    `expected` maps each record's id to `succeeded` or to the reason of its rejection; the id is ""
    if the message has none. `patch` is the merge patch with which a rejected message is replayed.
    """

    title: str
    body: bytes = field(repr=False)
    properties: Mapping[str, Any]
    expected: Mapping[str, str]
    patch: Mapping[str, Any] | None = None

    @property
    def message_id(self) -> str:
        """The message id, unique among the examples."""
        return str(self.properties["message_id"])

    @property
    def correlation_id(self) -> str:
        """The correlation id of the message's results."""
        return str(self.properties.get("correlation_id") or self.message_id)

    @property
    def request(self) -> Any:
        """The JSON of the request, or None if the body cannot be parsed."""
        return _parse_request(self.body)

    @property
    def queue(self) -> str:
        """The queue for the message: a request for many records has a `mode`."""
        request = self.request
        return BULK if isinstance(request, dict) and "mode" in request else REQUESTS

    @property
    def items(self) -> list[MessageItem]:
        """The records in the message."""
        return parse_items(self.body)

    @property
    def patched_items(self) -> list[MessageItem]:
        """The records in the message after its merge patch was applied."""
        return parse_items(
            json.dumps(apply_merge_patch(_parse_json(self.body), self.patch)).encode()
        )

    @property
    def rejections(self) -> dict[str, str]:
        """The expected reasons of rejected records, by id."""
        return {id_: outcome for id_, outcome in self.expected.items() if outcome != SUCCEEDED}


def read_messages(directory: Path, faults: list[str]) -> Iterator[ExampleMessage]:
    """
    Yields the messages listed in `messages.json`, in its order, then the other files of `messages/`.

    Those that are not listed must succeed. Files with a result are left out.
    """
    entries = list(_read_list(directory / "messages.json", faults))
    bodies = directory / "messages"
    listed = {entry["file"] for entry in entries}
    others = [path for path in sorted(bodies.glob("*.json")) if path.name not in listed]
    entries += [{"file": path.name} for path in others if not _is_result(path)]
    message_ids: set[str] = set()
    for entry in entries:
        try:
            message = _read_message(bodies / entry["file"], entry)
        except OSError as error:
            faults.append(f"{bodies / entry['file']} cannot be read: {error}")
            continue
        if message.message_id in message_ids:
            path = directory / "messages.json"
            faults.append(f"{path}: two messages have the message_id {message.message_id}")
        message_ids.add(message.message_id)
        yield message


def _read_list(path: Path, faults: list[str]) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    try:
        entries = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        faults.append(f"{path} cannot be read as JSON: {error}")
        return
    for position, entry in enumerate(entries if isinstance(entries, list) else [None]):
        if fault := _find_fault(entry):
            faults.append(f"{path}: entry {position} {fault}")
        else:
            yield entry


def _find_fault(entry: Any) -> str | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("file"), str):
        return "must be an object with the string member file"
    if unknown := entry.keys() - _MEMBERS:
        return f"has unknown members: {', '.join(sorted(unknown))}"
    for name in _MEMBERS - {"file", "shows"}:
        if not isinstance(entry.get(name, {}), dict):
            return f"must have an object as {name}"
    if unknown := entry.get("message", {}).keys() - _PROPERTIES:
        return f"has unknown members in message: {', '.join(sorted(unknown))}"
    return None


def _read_message(path: Path, entry: Mapping[str, Any]) -> ExampleMessage:
    body = path.read_bytes()
    ids = [item.id for item in parse_items(body)]
    return ExampleMessage(
        title=str(entry.get("shows", path.stem)),
        body=body,
        properties={"message_id": path.stem, **entry.get("message", {})},
        expected=entry.get("expect") or dict.fromkeys(ids or [""], SUCCEEDED),
        patch=entry.get("patch"),
    )


def _is_result(path: Path) -> bool:
    document = _parse_json(path.read_bytes())
    return isinstance(document, dict) and document.get("type") == EVENT_TYPE


def _parse_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _parse_request(body: bytes) -> Any:
    """Returns the request, taken out of its CloudEvent if needed; None if the body is not JSON."""
    document = _parse_json(body)
    is_event = isinstance(document, dict) and "specversion" in document
    return document.get("data") if is_event else document


def parse_items(body: bytes) -> list[MessageItem]:
    """Returns the records in the body of a request."""
    return list(_items(_parse_request(body)))


def _items(request: Any) -> Iterator[MessageItem]:
    if not isinstance(request, dict):
        return
    is_deleted = "delete" in (request.get("operation"), request.get("mode"))
    for record in _records(request):
        for member, path in _PATHS.items():
            if isinstance(record.get(member), str):
                yield MessageItem(
                    path=path, id=record[member], is_deleted=is_deleted, record=record
                )


def _records(request: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    records: list[Any] = [request, request.get("enrollment"), request.get("enrollmentGroup")]
    for name in ("enrollments", "enrollmentGroups"):
        many = request.get(name)
        records += many if isinstance(many, list) else []
    return [record for record in records if isinstance(record, dict)]
