"""The checks at the end of a run; each yields a line for everything that is wrong."""

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from azure.servicebus import ServiceBusReceivedMessage

from local.servicebus import QueueCounts
from tests.ledger.ledger import Entry, Ledger, ObservedOutcome
from tests.ledger.messages import STATUS_BY_REASON, SUCCEEDED, Document, Item, Key, Scenario
from tests.ledger.testbed import INPUTS, REJECTED_QUEUE, RESULTS_QUEUE, Testbed

# Members that DPS adds, and those that are compared separately or ignoring case.
_NOT_COMPARED = {"etag", "createdDateTimeUtc", "lastUpdatedDateTimeUtc", "attestation"}
_NOT_COMPARED |= {"registrationId", "enrollmentGroupId"}
# The number of chains that crashes may put out of order: a few, plus a share of all chains.
_OUT_OF_ORDER_AT_MOST, _OUT_OF_ORDER_SHARE = 10, 0.2


async def find_violations(testbed: Testbed, plan: Sequence[Scenario], ledger: Ledger) -> list[str]:
    """Runs all checks and returns their lines."""
    crashes = testbed.host.crashes
    rejected = await testbed.queues.peek_new(REJECTED_QUEUE)
    return [
        *[line async for line in _find_lost(testbed, ledger)],
        *_find_wrong_outcomes(ledger),
        *_find_wrong_copies(ledger, list(map(RejectedCopy.of, rejected)), crashes=crashes),
        *[line async for line in _find_wrong_records(testbed, plan, ledger)],
        *[line async for line in _find_dead_letters(testbed, ledger)],
        *_find_remaining_messages(testbed),
        *_find_out_of_order(plan, ledger, crashes=crashes),
        *(f"unexpected result: {result}" for result in ledger.unexpected_results),
    ]


# Outcomes


async def _find_lost(testbed: Testbed, ledger: Ledger) -> AsyncIterator[str]:
    """Yields a line for each message without all of its outcomes, with the queue that has it."""
    unfinished = [entry for entry in ledger.entries.values() if not entry.is_finished]
    locations: dict[str, list[str]] = defaultdict(list)
    for queue in INPUTS if unfinished else ():
        for message in await testbed.queues.peek_all(queue):
            copy = RejectedCopy.of(message)
            attempt = copy.properties.get("attempt", 1)
            location = f"{message.state.name} in {queue}, attempt {attempt}"
            locations[copy.source].append(location)
    for entry in unfinished:
        where = ", ".join(locations.get(entry.message.id, ["in neither input queue"]))
        count = len(entry.items_without_outcome())
        yield f"{entry}: no outcome of {count} items; {where}"


def _find_wrong_outcomes(ledger: Ledger) -> Iterator[str]:
    for entry in ledger.entries.values():
        if ledger.is_out_of_order(entry.scenario):
            continue
        for item in entry.message.items:
            if fault := _outcome_fault(item, entry.observed.get(item.key, [])):
                yield f"{entry} {item}: {fault}"


def _outcome_fault(item: Item, observed: Sequence[ObservedOutcome]) -> str | None:
    statuses = {outcome.status for outcome in observed}
    if not statuses <= {STATUS_BY_REASON.get(outcome) for outcome in item.outcomes}:
        return f"observed {statuses}, expected {item.outcomes}"
    if statuses and item.outcomes[0] == SUCCEEDED and None not in statuses:
        return f"observed {statuses}, and no success"
    return None


def _find_out_of_order(plan: Sequence[Scenario], ledger: Ledger, *, crashes: int) -> Iterator[str]:
    chains = sum(len(scenario.messages) > 1 for scenario in plan)
    count = sum(ledger.is_out_of_order(scenario) for scenario in plan)
    if count > (_OUT_OF_ORDER_AT_MOST + _OUT_OF_ORDER_SHARE * chains if crashes else 0):
        yield f"{count} of {chains} chains were processed out of order"


# Rejected copies


@dataclass(frozen=True, kw_only=True)
class RejectedCopy:
    """A message of the rejected queue, or of a dead-letter queue."""

    message_id: str
    source: str
    """The id of the message that was sent."""
    reason: str
    body: bytes
    properties: Mapping[str, Any]

    @classmethod
    def of(cls, message: ServiceBusReceivedMessage) -> Self:
        """Reads a peeked message."""
        given = message.application_properties or {}
        properties = {_decode(name): _decode(value) for name, value in given.items()}
        return cls(
            message_id=message.message_id or "",
            source=str(properties.get("sourceMessageId") or message.message_id),
            reason=str(properties.get("reason")),
            body=b"".join(message.body),
            properties=properties,
        )


def _decode(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _find_wrong_copies(
    ledger: Ledger, rejected: Sequence[RejectedCopy], *, crashes: int
) -> Iterator[str]:
    """Yields a line for each rejected copy that does not agree with the observed outcomes."""
    copies: dict[tuple[str, Key | None], list[RejectedCopy]] = defaultdict(list)
    for copy in rejected:
        entry = ledger.entries.get(copy.source)
        if entry is None:
            yield f"{copy.source} is rejected with {copy.reason}, but was never sent"
        else:
            copies[copy.source, _rejected_key(entry, copy)].append(copy)
    for entry in ledger.entries.values():
        is_out_of_order = ledger.is_out_of_order(entry.scenario)
        for item in entry.message.items:
            of_item = copies.pop((entry.message.id, item.key), [])
            for fault in _copy_faults(entry, item, of_item, is_out_of_order=is_out_of_order):
                yield f"{entry} {item}: {fault}"
            # A host that crashes between sending a copy and completing the message repeats both.
            ids = {copy.message_id for copy in of_item}
            if len(ids) > entry.message.copies * (crashes + 1):
                yield f"{entry} {item}: {len(of_item)} rejected copies"
    for source, key in copies:
        yield f"{ledger.entries[source]} is rejected with {key}, which is not in it"


def _copy_faults(
    entry: Entry, item: Item, copies: Sequence[RejectedCopy], *, is_out_of_order: bool
) -> Iterator[str]:
    reasons = {copy.reason for copy in copies}
    rejected = {STATUS_BY_REASON.get(reason) for reason in reasons}
    observed = {outcome.status for outcome in entry.observed.get(item.key, [])} - {None}
    # After a crash between copy and result the redelivery may find the item applied already.
    if not observed <= rejected or (rejected > observed and SUCCEEDED not in item.outcomes):
        yield f"observed {observed or 'no rejection'}, rejected with {reasons or 'no reason'}"
    if reasons - set(item.outcomes) and not is_out_of_order:
        yield f"rejected with {reasons}, expected {item.outcomes}"
    if len(entry.message.items) == 1 and any(copy.body != entry.body for copy in copies):
        yield "the rejected copy has another body"
    properties = entry.message.properties.items()
    if any(not properties <= copy.properties.items() for copy in copies):
        yield "the rejected copy lacks properties of the message"


def _rejected_key(entry: Entry, copy: RejectedCopy) -> Key | None:
    """Returns the key of the rejected item; a copy of a bulk message holds only that record."""
    if len(entry.message.items) == 1:
        return entry.message.items[0].key
    document = json.loads(copy.body)
    (path,) = document.keys() - {"mode"}
    names = {"registrationId", "enrollmentGroupId"}
    records = document[path]
    ids = [str(record[name]).casefold() for record in records for name in names & record.keys()]
    return path, " and ".join(ids)


# Records


async def _find_wrong_records(
    testbed: Testbed, plan: Sequence[Scenario], ledger: Ledger
) -> AsyncIterator[str]:
    records = await testbed.read_records()
    for scenario in plan:
        is_out_of_order = ledger.is_out_of_order(scenario)
        for key, expected in scenario.final_records.items():
            record = records.get(key)
            also_allowed = scenario.possible_states.get(key, []) if is_out_of_order else []
            if not any(_is_equal(record, state) for state in (expected, *also_allowed)):
                yield f"{'/'.join(key)} is {_describe(record)}, not {_describe(expected)}"
            etags = set() if is_out_of_order else _last_etags(ledger, scenario, key)
            if record is not None and etags and not {record.etag, None} & etags:
                yield f"{'/'.join(key)} has another etag than its result reported"
    for key in records.keys() - {key for scenario in plan for key in scenario.final_records}:
        yield f"{'/'.join(key)} exists, but no message requested it"
    ordered = (scenario for scenario in plan if not ledger.is_out_of_order(scenario))
    expected_keys = {
        key: keys
        for scenario in ordered
        for key, keys in scenario.final_keys.items()
        if key in records
    }
    actual_keys = await testbed.read_symmetric_keys(expected_keys)
    for key, keys in expected_keys.items():
        if actual_keys[key] != keys:
            yield f"{'/'.join(key)} has lost its symmetric keys"


def _last_etags(ledger: Ledger, scenario: Scenario, key: Key) -> set[str | None]:
    entry = ledger.entries.get(scenario.messages[-1].id)
    return set() if entry is None else entry.etags(key)


def _is_equal(record: Document | None, expected: Document | None) -> bool:
    if record is None or expected is None:
        return record is expected
    types = [document["attestation"]["type"] for document in (record, expected)]
    return types[0] == types[1] and _compared(record) == _compared(expected)


def _compared(record: Document) -> Mapping[str, Any]:
    return {name: record[name] for name in record if name not in _NOT_COMPARED}


def _describe(record: Document | None) -> str:
    return f"as of {record['initialTwin']['tags']['ledger']}" if record else "absent"


# Queues


async def _find_dead_letters(testbed: Testbed, ledger: Ledger) -> AsyncIterator[str]:
    """Yields a line for each dead letter that is not too large for a rejected copy."""
    entries = ledger.entries
    expected = {id for id, entry in entries.items() if entry.message.is_dead_lettered}
    actual = {
        RejectedCopy.of(message).source
        for queue in INPUTS
        for message in await testbed.queues.peek_dead_letters(queue)
    }
    for id in sorted(actual ^ expected):
        yield f"{entries.get(id, id)} {'should be' if id in expected else 'is'} dead-lettered"
    for queue in (RESULTS_QUEUE, REJECTED_QUEUE):
        if count := testbed.broker.queue(queue).dead_lettered:
            yield f"{queue} has {count} dead letters"


def _find_remaining_messages(testbed: Testbed) -> Iterator[str]:
    for queue in INPUTS:
        counts = testbed.broker.queue(queue)
        if counts != QueueCounts(dead_lettered=counts.dead_lettered):
            yield f"{queue} is not empty: {counts}"
    for queue in (RESULTS_QUEUE, REJECTED_QUEUE):
        counts = testbed.broker.queue(queue)
        if counts.scheduled or counts.deferred:
            yield f"{queue} has scheduled or deferred messages: {counts}"
