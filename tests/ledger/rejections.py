"""What is kept of requests that can never succeed, and whether it is just that."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from azure.servicebus import ServiceBusReceivedMessage

from tests.ledger.asked import STATUS_OF, SUCCEEDED, Item, Key
from tests.ledger.book import Ledger, Line

_IDS = {"registrationId", "enrollmentGroupId"}


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A message of the rejected queue, or of a dead-letter queue."""

    message_id: str
    source: str
    """The id of the message that was sent."""
    reason: str
    body: bytes
    properties: Mapping[str, Any]

    @classmethod
    def of(cls, message: ServiceBusReceivedMessage) -> Self:
        """As it was peeked."""
        given = message.application_properties or {}
        properties = {_text(name): _text(value) for name, value in given.items()}
        return cls(
            message_id=message.message_id or "",
            source=str(properties.get("sourceMessageId") or message.message_id),
            reason=str(properties.get("reason")),
            body=b"".join(message.body),
            properties=properties,
        )


def faults(ledger: Ledger, kept: Sequence[Kept], *, kills: int) -> Iterator[str]:
    """Where what is kept is not what was told, in words."""
    copies: dict[tuple[str, Key | None], list[Kept]] = defaultdict(list)
    for copy in kept:
        line = ledger.lines.get(copy.source)
        if line is None:
            yield f"{copy.source} is rejected with {copy.reason}, but was never sent"
        else:
            copies[copy.source, _key_of(line, copy)].append(copy)
    for line in ledger.lines.values():
        for item in line.step.items:
            found = copies.pop((line.step.id, item.key), [])
            for fault in _faults_of(line, item, found, is_open=ledger.is_open(line.story)):
                yield f"{line} {item}: {fault}"
            # Whoever is killed between sending a copy and completing the message repeats both.
            if len({copy.message_id for copy in found}) > line.step.times * (kills + 1):
                yield f"{line} {item}: kept {len(found)} times"
    for source, key in copies:
        yield f"{ledger.lines[source]} is rejected with {key}, which is not in it"


def _faults_of(line: Line, item: Item, copies: Sequence[Kept], *, is_open: bool) -> Iterator[str]:
    reasons = {copy.reason for copy in copies}
    kept = {STATUS_OF.get(reason) for reason in reasons}
    told = {one.status for one in line.told.get(item.key, [])} - {None}
    # Who is killed before it tells of what it kept may find it done when it comes to it again.
    if not told <= kept or (kept > told and SUCCEEDED not in item.endings):
        yield f"told {told or 'no rejection'}, kept with {reasons or 'no reason'}"
    if reasons - set(item.endings) and not is_open:
        yield f"kept with {reasons}, expected {item.endings}"
    if len(line.step.items) == 1 and any(copy.body != line.body for copy in copies):
        yield "kept with another body"
    if any(not line.step.properties.items() <= copy.properties.items() for copy in copies):
        yield "kept without its properties"


def _key_of(line: Line, copy: Kept) -> Key | None:
    """Which request of the message was rejected; a part of a bulk message has just that."""
    if len(line.step.items) == 1:
        return line.step.items[0].key
    document = json.loads(copy.body)
    (path,) = document.keys() - {"mode"}
    ids = [
        str(record[name]).casefold() for record in document[path] for name in _IDS & record.keys()
    ]
    return path, " and ".join(ids)


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
