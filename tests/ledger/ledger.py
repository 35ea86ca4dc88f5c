"""The ledger: the messages that were sent, and the outcomes that their results reported."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from azure.servicebus import ServiceBusReceivedMessage

from tests.ledger.messages import SUCCEEDED, Item, Key, Message, Scenario

_COLLECTION_OF = {"registrationId": "enrollments", "enrollmentGroupId": "enrollmentGroups"}


@dataclass(frozen=True, kw_only=True)
class ObservedOutcome:
    """An item's outcome in a result: `status` is that of the error code, `None` for a success."""

    status: int | None
    etag: str | None


@dataclass(kw_only=True)
class Entry:
    """A message that was sent, and the observed outcomes of its items."""

    scenario: Scenario
    message: Message
    body: bytes
    observed: dict[Key | None, list[ObservedOutcome]] = field(
        default_factory=lambda: defaultdict(list)
    )

    @property
    def is_finished(self) -> bool:
        """Whether each item has an outcome."""
        return not self.items_without_outcome()

    def __str__(self) -> str:
        return f"{self.message.id} ({self.message.description})"

    def items_without_outcome(self) -> list[Item]:
        """Returns the items of which no result was observed."""
        return [item for item in self.message.items if item.key not in self.observed]

    def etags(self, key: Key) -> set[str | None]:
        """Returns the etags that results reported of a record."""
        return {outcome.etag for outcome in self.observed.get(key, []) if outcome.status is None}


class Ledger:
    """An entry for each message, and the results that belong to none of them."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.unexpected_results: list[str] = []
        self._followed: set[str] = set()
        self._out_of_order: set[int] = set()

    def is_out_of_order(self, scenario: Scenario) -> bool:
        """
        Returns whether a message was processed again after the next one had been sent.

        The host crashed between its result and its completion, so Service Bus delivered it again. It
        may have been applied after the next one: Service Bus does not order redeliveries.
        """
        return id(scenario) in self._out_of_order

    def add(self, scenario: Scenario, message: Message, body: bytes) -> None:
        """Adds a message that is being sent with that body."""
        self.entries[message.id] = Entry(scenario=scenario, message=message, body=body)
        position = scenario.messages.index(message)
        if position:
            self._followed.add(scenario.messages[position - 1].id)

    def record_results(self, results: Iterable[ServiceBusReceivedMessage]) -> list[Entry]:
        """Adds the outcomes of the results; returns the entries that became finished."""
        finished = []
        for result in results:
            entry = self.entries.get(result.correlation_id or "")
            data = json.loads(b"".join(result.body))["data"]
            key = _key_of(data)
            if entry and len(entry.message.items) == 1:
                key = entry.message.items[0].key
            if entry is None or all(item.key != key for item in entry.message.items):
                self.unexpected_results.append(f"{result.correlation_id}: {data}")
                continue
            was_finished = entry.is_finished
            entry.observed[key].append(_outcome_of(data))
            if was_finished and entry.message.id in self._followed:
                self._out_of_order.add(id(entry.scenario))
            elif not was_finished and entry.is_finished:
                finished.append(entry)
        return finished


def _key_of(data: dict[str, str]) -> Key | None:
    members = [member for member in _COLLECTION_OF if member in data]
    return (_COLLECTION_OF[members[0]], data[members[0]].casefold()) if members else None


def _outcome_of(data: dict[str, str]) -> ObservedOutcome:
    is_applied = data["status"] == SUCCEEDED
    status = None if is_applied else int(data.get("errorCode") or 0) // 1000
    return ObservedOutcome(status=status, etag=data.get("etag"))
