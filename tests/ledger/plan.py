"""The plan of a run: scenarios in order of their start; the same seed makes the same plan."""

import random
from collections.abc import Callable, Iterator
from itertools import count

from shared.dps.models import ENROLLMENT_GROUP, INDIVIDUAL_ENROLLMENT, RecordKind
from tests.ledger.messages import (
    BULK_ON_EXISTING,
    BULK_ON_MISSING,
    ON_EXISTING,
    ON_MISSING,
    Message,
    Record,
    Scenario,
    create_bulk,
    create_poison,
    create_single,
    create_too_large,
    operations_on,
)

# Shares of all messages; the rest are single requests for records of their own.
SHARES = {"poison": 0.02, "too large": 0.01, "duplicate": 0.05, "bulk": 0.04, "chain": 0.35}
_LONGEST_CHAIN, _LARGEST_BULK = 5, 16
_DUPLICATED = ("create", "upsert", "upsert over", "update", "update ifMatch", "delete")


def create_plan(requests: int, *, seed: int, largest_message: int) -> list[Scenario]:
    """Returns scenarios with at least `requests` messages, copies counted."""
    rng = random.Random(seed)  # noqa: S311  repeatable on purpose
    planner = _Planner(rng, largest_message)
    scenarios, created = [], dict.fromkeys([*SHARES, "single"], 0)
    shares = SHARES | {"single": 1 - sum(SHARES.values())}
    while (total := sum(created.values())) < requests:
        # The kind that is furthest below its share.
        name = max(shares, key=lambda name: shares[name] * (total + 1) - created[name])
        scenario = planner.create(name)
        created[name] += sum(message.copies for message in scenario.messages)
        scenarios.append(scenario)
    rng.shuffle(scenarios)
    return scenarios


class _Planner:
    def __init__(self, rng: random.Random, largest_message: int) -> None:
        self._rng = rng
        self._largest_message = largest_message
        self._numbers = {name: count() for name in ("message", "record", "poison", "single")}
        self._fillers: dict[str, Callable[[Scenario], None]] = {
            "poison": self._add_poison,
            "too large": self._add_too_large,
            "duplicate": self._add_duplicate,
            "bulk": self._add_bulk,
            "chain": self._add_chain,
            "single": self._add_single,
        }

    def create(self, name: str) -> Scenario:
        scenario = Scenario()
        self._fillers[name](scenario)
        return scenario

    def _next_id(self) -> str:
        return f"m{next(self._numbers['message']):06d}"

    def _record(
        self, scenario: Scenario, *, exists: bool, kind: RecordKind | None = None
    ) -> Record:
        kinds = [INDIVIDUAL_ENROLLMENT] * 4 + [ENROLLMENT_GROUP]
        record = Record(
            scenario=scenario,
            rng=self._rng,
            kind=kind or self._rng.choice(kinds),
            id=f"dev-{next(self._numbers['record']):06d}",
        )
        if exists:
            record.create_initially()
        return record

    def _records(
        self, scenario: Scenario, *, exist: bool, kind: RecordKind | None = None
    ) -> Iterator[Record]:
        kind = kind or self._rng.choice([INDIVIDUAL_ENROLLMENT, ENROLLMENT_GROUP])
        for _ in range(self._rng.randint(1, _LARGEST_BULK)):
            yield self._record(scenario, exists=exist, kind=kind)

    def _add_poison(self, scenario: Scenario) -> None:
        message = create_poison(next(self._numbers["poison"]), self._next_id())
        scenario.messages.append(message)

    def _add_too_large(self, scenario: Scenario) -> None:
        limit = self._largest_message
        message = create_too_large(self._next_id(), limit=limit, rng=self._rng)
        scenario.messages.append(message)

    def _add_duplicate(self, scenario: Scenario) -> None:
        if self._rng.random() < 0.1:
            self._add_bulk(scenario, copies=2)
        else:
            name = self._rng.choice(_DUPLICATED)
            scenario.messages.append(self._create_single(scenario, name, copies=2))

    def _add_single(self, scenario: Scenario) -> None:
        names = [*ON_EXISTING, *ON_MISSING]
        name = names[next(self._numbers["single"]) % len(names)]
        scenario.messages.append(self._create_single(scenario, name))

    def _create_single(self, scenario: Scenario, name: str, *, copies: int = 1) -> Message:
        record = self._record(scenario, exists=name in ON_EXISTING)
        scenario.final_records.setdefault(record.key, None)
        return create_single(record, name, self._next_id(), copies=copies)

    def _add_bulk(self, scenario: Scenario, *, copies: int = 1) -> None:
        mode = self._rng.choice([*BULK_ON_EXISTING, *BULK_ON_MISSING])
        exist = mode not in BULK_ON_MISSING or (
            mode in BULK_ON_EXISTING and self._rng.random() < 0.5
        )
        records = list(self._records(scenario, exist=exist))
        scenario.messages.append(create_bulk(records, mode, self._next_id(), copies=copies))

    def _add_chain(self, scenario: Scenario) -> None:
        record = self._record(scenario, exists=self._rng.random() < 0.5)
        scenario.final_records.setdefault(record.key, None)
        scenario.possible_states.setdefault(record.key, [None])
        for _ in range(self._rng.randint(2, _LONGEST_CHAIN)):
            scenario.messages.append(self._create_link(scenario, record))

    def _create_link(self, scenario: Scenario, record: Record) -> Message:
        if self._rng.random() < 0.1:
            return self._create_bulk_link(scenario, record)
        name = self._rng.choice(list(operations_on(record)))
        return create_single(record, name, self._next_id())

    def _create_bulk_link(self, scenario: Scenario, record: Record) -> Message:
        """Returns a bulk message for the record and others, which all exist or all do not."""
        exists = record.document is not None
        mode = self._rng.choice(BULK_ON_EXISTING if exists else BULK_ON_MISSING)
        # An upsert also creates records: the others do not exist yet.
        others = self._records(scenario, exist=exists and mode != "upsert", kind=record.kind)
        return create_bulk([record, *others], mode, self._next_id())
