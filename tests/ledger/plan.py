"""The plan of a run: the same seed makes the same plan."""

import random
from collections.abc import Callable, Iterator
from itertools import count

from shared.dps.models import ENROLLMENT_GROUP, INDIVIDUAL_ENROLLMENT, RecordKind
from tests.ledger import bulk, operations
from tests.ledger.asked import Step, Story
from tests.ledger.operations import asked_of
from tests.ledger.poison import poison, too_large
from tests.ledger.records import Thing

# Of all messages; the rest are single requests that nothing else touches.
SHARES = {"poison": 0.02, "too large": 0.01, "doubled": 0.05, "bulk": 0.04, "chain": 0.35}
_LONGEST_CHAIN, _LARGEST_BULK = 5, 16
_DOUBLED = ("create", "upsert", "upsert over", "update", "update ifMatch", "delete")


def plan(requests: int, *, seed: int, largest_message: int) -> list[Story]:
    """Stories with so many messages at least, in the order in which they begin."""
    rng = random.Random(seed)  # noqa: S311  repeatable on purpose
    maker = _Maker(rng, largest_message)
    stories, made = [], dict.fromkeys([*SHARES, "single"], 0)
    shares = SHARES | {"single": 1 - sum(SHARES.values())}
    while (so_far := sum(made.values())) < requests:
        # Whatever lags most behind its share.
        name = max(shares, key=lambda name: shares[name] * (so_far + 1) - made[name])
        story = maker.made(name)
        made[name] += sum(step.times for step in story.steps)
        stories.append(story)
    rng.shuffle(stories)
    return stories


class _Maker:
    def __init__(self, rng: random.Random, largest_message: int) -> None:
        self._rng = rng
        self._largest_message = largest_message
        self._numbers = {name: count() for name in ("message", "record", "poison", "single")}
        self._makers: dict[str, Callable[[Story], None]] = {
            "poison": self._poison,
            "too large": self._too_large,
            "doubled": self._doubled,
            "bulk": self._bulk,
            "chain": self._chain,
            "single": self._single,
        }

    def made(self, name: str) -> Story:
        story = Story()
        self._makers[name](story)
        return story

    def _id(self) -> str:
        return f"m{next(self._numbers['message']):06d}"

    def _thing(self, story: Story, *, is_there: bool, kind: RecordKind | None = None) -> Thing:
        kinds = [INDIVIDUAL_ENROLLMENT] * 4 + [ENROLLMENT_GROUP]
        thing = Thing(
            story=story,
            rng=self._rng,
            kind=kind or self._rng.choice(kinds),
            id=f"dev-{next(self._numbers['record']):06d}",
        )
        if is_there:
            thing.is_there_before()
        return thing

    def _things(self, story: Story, *, are_there: bool, kind: RecordKind | None) -> Iterator[Thing]:
        kind = kind or self._rng.choice([INDIVIDUAL_ENROLLMENT, ENROLLMENT_GROUP])
        for _ in range(self._rng.randint(1, _LARGEST_BULK)):
            yield self._thing(story, is_there=are_there, kind=kind)

    def _poison(self, story: Story) -> None:
        story.steps.append(poison(next(self._numbers["poison"]), self._id()))

    def _too_large(self, story: Story) -> None:
        limit = self._largest_message
        story.steps.append(too_large(self._id(), limit=limit, rng=self._rng))

    def _doubled(self, story: Story) -> None:
        if self._rng.random() < 0.1:
            self._bulk(story, times=2)
        else:
            story.steps.append(self._asked(story, self._rng.choice(_DOUBLED), times=2))

    def _single(self, story: Story) -> None:
        names = [*operations.ON_EXISTING, *operations.ON_MISSING]
        story.steps.append(self._asked(story, names[next(self._numbers["single"]) % len(names)]))

    def _asked(self, story: Story, name: str, *, times: int = 1) -> Step:
        thing = self._thing(story, is_there=name in operations.ON_EXISTING)
        story.after.setdefault(thing.key, None)
        return asked_of(thing, name, self._id(), times=times)

    def _bulk(self, story: Story, *, times: int = 1) -> None:
        mode = self._rng.choice([*bulk.ON_EXISTING, *bulk.ON_MISSING])
        are_there = mode not in bulk.ON_MISSING or (
            mode in bulk.ON_EXISTING and self._rng.random() < 0.5
        )
        things = list(self._things(story, are_there=are_there, kind=None))
        story.steps.append(bulk.bulk(things, mode, self._id(), times=times))

    def _chain(self, story: Story) -> None:
        thing = self._thing(story, is_there=self._rng.random() < 0.5)
        story.after.setdefault(thing.key, None)
        story.ever.setdefault(thing.key, [None])
        for _ in range(self._rng.randint(2, _LONGEST_CHAIN)):
            story.steps.append(self._link(story, thing))

    def _link(self, story: Story, thing: Thing) -> Step:
        if self._rng.random() < 0.1:
            return self._bulk_link(story, thing)
        name = self._rng.choice(list(operations.operations_on(thing)))
        return asked_of(thing, name, self._id())

    def _bulk_link(self, story: Story, thing: Thing) -> Step:
        """One record of a chain among others that are all as it is: there, or not there."""
        are_there = thing.document is not None
        mode = self._rng.choice(bulk.ON_EXISTING if are_there else bulk.ON_MISSING)
        # A record that is there now was not when the story began.
        are_others_there = are_there and mode != "upsert"
        others = self._things(story, are_there=are_others_there, kind=thing.kind)
        return bulk.bulk([thing, *others], mode, self._id())
