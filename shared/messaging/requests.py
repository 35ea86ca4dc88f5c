"""Requests: a message is read into items, and a bulk request is split."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from shared.dps.batching.items import (
    BULK_REQUEST_LIMITS,
    MAX_RECORDS_PER_REQUEST,
    ItemReader,
    RequestItem,
    find_record_faults,
    unquoted,
)
from shared.dps.models import BulkMode, Operation
from shared.errors import DocumentTooLargeError, InvalidRequestError
from shared.json_documents import MAX_DOCUMENT_BYTES, parse_in_thread, pointer
from shared.messaging.cloud_events import Content, read_content
from shared.messaging.messages import Message, Property
from shared.messaging.positions import read_positions
from shared.messaging.request_models import (
    KIND_BY_MEMBER,
    KIND_BY_RECORD_MEMBER,
    KIND_BY_RECORDS_MEMBER,
    find_bulk_request_faults,
    find_request_faults,
    non_null_members,
    respelled_request,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class BulkRequest:
    """One operation on many records: an item for each, and the request around the records."""

    items: list[RequestItem] = field(repr=False)
    content: Content = field(repr=False)

    def body_with(self, items: Iterable[RequestItem]) -> bytes:
        """Returns the body of a message with only these items; records are as they were sent."""
        request = non_null_members(self.content.document)
        (member,) = KIND_BY_RECORDS_MEMBER.keys() & request.keys()
        part = request | {member: [item.document for item in items]}
        # In binary mode the event's attributes are properties, which every copy keeps.
        body = {**self.content.attributes, "data": part} if self.content.at else part
        # Compact, so that it is not longer than the message, which may be at the size limit.
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def read_request(message: Message) -> RequestItem:
    """
    Reads the one operation of a message.

    Raises `InvalidRequestError`, or a subclass, with every fault by JSON Pointer into the body or by
    the name of a property.
    """
    content = _respelled(read_content(message))
    request = _request(content, find_request_faults(content.document, at=content.at))
    (member,) = KIND_BY_MEMBER.keys() & request.keys()
    kind, value = KIND_BY_MEMBER[member], request[member]
    is_record = member in KIND_BY_RECORD_MEMBER
    return RequestItem(
        kind=kind,
        operation=Operation(request["operation"]),
        id=value[kind.id_member] if is_record else value,
        document=value if is_record else None,
        if_match=unquoted(request.get("ifMatch")),
    )


async def read_bulk_request(message: Message) -> BulkRequest:
    """
    Reads the operations of a message.

    Raises `InvalidRequestError`, or a subclass, for faults of the request as a whole, and
    `DocumentTooLargeError` above `MAX_RECORDS_PER_REQUEST`. Faults of one record are in its item.
    """
    content, request = await parse_in_thread(message.body, partial(_read_bulk, message))
    (member,) = KIND_BY_RECORDS_MEMBER.keys() & request.keys()
    at = (*content.at, member)
    if len(request[member]) > MAX_RECORDS_PER_REQUEST:
        fault = f"must not exceed {MAX_RECORDS_PER_REQUEST} records"
        raise DocumentTooLargeError({pointer(*at): fault})
    reader = ItemReader(
        kind=KIND_BY_RECORDS_MEMBER[member],
        mode=BulkMode(request["mode"]),
        at=at,
        check_size=len(message.body) > MAX_DOCUMENT_BYTES,
    )
    items = await reader.read(request[member], positions=_positions(message, request[member]))
    return BulkRequest(items=items, content=content)


def _positions(message: Message, records: Sequence[Any]) -> Sequence[int]:
    """Returns the positions of the records in the sender's message, of which this may be a part."""
    text = message.own_properties.get(Property.POSITIONS)
    positions = read_positions(text, limit=MAX_RECORDS_PER_REQUEST)
    # A patch may have replaced the records.
    return positions if len(positions) == len(records) else range(len(records))


def _read_bulk(message: Message) -> tuple[Content, dict[str, Any]]:
    """Returns the content and the request in it; raises `InvalidRequestError` with every fault."""
    content = _respelled(read_content(message, limits=BULK_REQUEST_LIMITS))
    document = content.document
    faults = {**find_bulk_request_faults(document, at=content.at), **content.faults}
    for member, kind in (
        KIND_BY_RECORDS_MEMBER.items() if faults and isinstance(document, dict) else ()
    ):
        if isinstance(document.get(member), list):
            faults |= find_record_faults(document, kind, at=content.at)
    return content, _request(content, faults)


def respelled_body(body: Any) -> Any:
    """Returns the JSON of a message, or a merge patch for it, with its request respelled."""
    if isinstance(body, dict) and "data" in body:  # an event
        return {**body, "data": respelled_request(body["data"])}
    return respelled_request(body)


def _respelled(content: Content) -> Content:
    return replace(content, document=respelled_request(content.document))


def _request(content: Content, faults: Mapping[str, str]) -> dict[str, Any]:
    """Returns the members of the request; raises `InvalidRequestError` if there are faults."""
    # Those of the content come first, and replace others of the same pointer.
    if all_faults := {**content.faults, **faults, **content.faults}:
        raise InvalidRequestError(all_faults)
    return non_null_members(content.document)
