"""The ledger: what was sent, and what was told of it."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from azure.servicebus import ServiceBusReceivedMessage

from tests.ledger.asked import SUCCEEDED, Item, Key, Step, Story

_COLLECTION_OF = {"registrationId": "enrollments", "enrollmentGroupId": "enrollmentGroups"}


@dataclass(frozen=True, kw_only=True)
class Told:
    """The ending of a request as a result tells it: `status` is that of the code, if rejected."""

    ending: str
    status: int | None
    etag: str | None


@dataclass(kw_only=True)
class Line:
    """One message: whose it is, what was sent, and what was told of each of its requests."""

    story: Story
    step: Step
    body: bytes
    told: dict[Key | None, list[Told]] = field(default_factory=lambda: defaultdict(list))

    @property
    def is_told(self) -> bool:
        """Whether every request of it has an ending."""
        return all(item.key in self.told for item in self.step.items)

    def __str__(self) -> str:
        return f"{self.step.id} ({self.step.what})"

    def etags(self, key: Key) -> set[str | None]:
        """What was told of the etag of a record, each time that it was written."""
        return {told.etag for told in self.told.get(key, []) if told.status is None}

    def untold(self) -> list[Item]:
        """The requests without an ending."""
        return [item for item in self.step.items if item.key not in self.told]


class Ledger:
    """A line for each message that was sent, and results that belong to none."""

    def __init__(self) -> None:
        self.lines: dict[str, Line] = {}
        self.strangers: list[str] = []
        self._follower: dict[str, str] = {}
        self._open: set[int] = set()

    def is_open(self, story: Story) -> bool:
        """
        Whether a message of it was told once more after the next was sent.

        Then it was delivered again, for the host ended between result and completion, and may have
        been applied again over what came after it: Service Bus gives no order to a redelivery.
        """
        return id(story) in self._open

    def enter(self, story: Story, step: Step, body: bytes) -> None:
        """A message is sent."""
        self.lines[step.id] = Line(story=story, step=step, body=body)
        place = story.steps.index(step)
        if place:
            self._follower[story.steps[place - 1].id] = step.id

    def read(self, results: Iterable[ServiceBusReceivedMessage]) -> list[Line]:
        """Notes what results tell; the lines that have become complete."""
        complete = []
        for message in results:
            line = self.lines.get(message.correlation_id or "")
            outcome = json.loads(b"".join(message.body))["data"]
            key = _key_in(outcome)
            if line and len(line.step.items) == 1:
                key = line.step.items[0].key
            if line is None or all(item.key != key for item in line.step.items):
                self.strangers.append(f"{message.correlation_id}: {outcome}")
                continue
            was_told = line.is_told
            line.told[key].append(_told(outcome))
            if was_told:
                self._reopen(line)
            elif line.is_told:
                complete.append(line)
        return complete

    def _reopen(self, line: Line) -> None:
        if line.step.id in self._follower:
            self._open.add(id(line.story))


def _key_in(outcome: dict[str, str]) -> Key | None:
    named = [member for member in _COLLECTION_OF if member in outcome]
    return (_COLLECTION_OF[named[0]], outcome[named[0]].casefold()) if named else None


def _told(outcome: dict[str, str]) -> Told:
    code = outcome.get("errorCode")
    is_applied = outcome["status"] == SUCCEEDED
    return Told(
        ending=outcome["status"],
        status=None if is_applied else int(code or 0) // 1000,
        etag=outcome.get("etag"),
    )
