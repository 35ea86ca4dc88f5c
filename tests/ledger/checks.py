"""What has to be true in the end; each check gives a line for whatever is wrong."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from local.servicebus import QueueCounts
from tests.ledger import rejections
from tests.ledger.asked import STATUS_OF, SUCCEEDED, Document, Item, Key, Story
from tests.ledger.book import Ledger, Told
from tests.ledger.rejections import Kept
from tests.ledger.scene import INPUTS, REJECTED_QUEUE, RESULTS_QUEUE, Scene
from tests.ledger.state import keys_of, records_in

# What DPS adds to a record; attestations and ids are compared by their own rules.
_NOT_COMPARED = {"etag", "createdDateTimeUtc", "lastUpdatedDateTimeUtc", "attestation"}
_NOT_COMPARED |= {"registrationId", "enrollmentGroupId"}
# Of which the last state cannot be told: after a kill there may be some such chains, and a share.
_OPEN_AT_MOST, _OPEN_OF_ALL = 10, 0.2


async def wrong(scene: Scene, plan: Sequence[Story], ledger: Ledger) -> list[str]:
    """All that is wrong, in words."""
    kept = [Kept.of(message) for message in await scene.courier.news(REJECTED_QUEUE)]
    return [
        *[line async for line in _untold(scene, ledger)],
        *_endings(ledger),
        *rejections.faults(ledger, kept, kills=scene.host.kills),
        *[line async for line in _records(scene, plan, ledger)],
        *[line async for line in _dead_letters(scene, ledger)],
        *_leftovers(scene),
        *_open(plan, ledger, kills=scene.host.kills),
        *(f"a result that nobody asked for: {stranger}" for stranger in ledger.strangers),
    ]


# Endings


async def _untold(scene: Scene, ledger: Ledger) -> AsyncIterator[str]:
    """Messages without all of their results, and where they are now."""
    missing = [line for line in ledger.lines.values() if not line.is_told]
    places: dict[str, list[str]] = {}
    for queue in INPUTS if missing else ():
        for message in await scene.courier.all(queue):
            copy = Kept.of(message)
            where = f"{message.state.name} in {queue}, attempt {copy.properties.get('attempt', 1)}"
            places.setdefault(copy.source, []).append(where)
    for line in missing:
        where = ", ".join(places.get(line.step.id, ["in neither input queue"]))
        yield f"{line}: no result of {len(line.untold())} requests; {where}"


def _endings(ledger: Ledger) -> Iterator[str]:
    for line in ledger.lines.values():
        if ledger.is_open(line.story):
            continue
        for item in line.step.items:
            if fault := _fault_of(item, line.told.get(item.key, [])):
                yield f"{line} {item}: {fault}"


def _fault_of(item: Item, told: Sequence[Told]) -> str | None:
    heard = {one.status for one in told}
    if not heard <= {STATUS_OF.get(ending) for ending in item.endings}:
        return f"told {heard}, expected {item.endings}"
    if heard and item.endings[0] == SUCCEEDED and None not in heard:
        return f"told {heard}, and nobody that it succeeded"
    return None


def _open(plan: Sequence[Story], ledger: Ledger, *, kills: int) -> Iterator[str]:
    chains = sum(len(story.steps) > 1 for story in plan)
    found = sum(ledger.is_open(story) for story in plan)
    if found > (_OPEN_AT_MOST + _OPEN_OF_ALL * chains if kills else 0):
        yield f"{found} of {chains} chains were told of out of order"


# Records


async def _records(scene: Scene, plan: Sequence[Story], ledger: Ledger) -> AsyncIterator[str]:
    found = await records_in(scene.client)
    for story in plan:
        for key, wanted in story.after.items():
            states = story.ever.get(key, []) if ledger.is_open(story) else []
            if not any(_is_so(found.get(key), state) for state in (wanted, *states)):
                yield f"{'/'.join(key)} is {_in_short(found.get(key))}, not {_in_short(wanted)}"
            told = _last_etags(ledger, story, key)
            if key in found and told and not {found[key].etag, None} & told:
                yield f"{'/'.join(key)} has another etag than the one that was told"
    for key in found.keys() - {key for story in plan for key in story.after}:
        yield f"{'/'.join(key)} is there, but nobody asked for it"
    certain = (story for story in plan if not ledger.is_open(story))
    given = {key: keys for story in certain for key, keys in story.keys.items() if key in found}
    have = await keys_of(scene.client, given)
    for key, keys in given.items():
        if have[key] != keys:
            yield f"{'/'.join(key)} has lost the keys that it was given"


def _last_etags(ledger: Ledger, story: Story, key: Key) -> set[str | None]:
    """What the last step told of a record, unless that need not be the last to write it."""
    line = ledger.lines.get(story.steps[-1].id)
    return set() if line is None or ledger.is_open(story) else line.etags(key)


def _is_so(record: Document | None, wanted: Document | None) -> bool:
    if record is None or wanted is None:
        return record is wanted
    types = [one["attestation"]["type"] for one in (record, wanted)]
    return types[0] == types[1] and _members(record) == _members(wanted)


def _members(record: Document) -> Mapping[str, Any]:
    return {name: record[name] for name in record if name not in _NOT_COMPARED}


def _in_short(record: Document | None) -> str:
    return f"as of {record['initialTwin']['tags']['ledger']}" if record else "absent"


# What must not be left


async def _dead_letters(scene: Scene, ledger: Ledger) -> AsyncIterator[str]:
    """In the dead-letter queues is what can be kept nowhere else, and nothing else."""
    expected = {line.step.id for line in ledger.lines.values() if line.step.is_dead}
    found = {Kept.of(m).source for queue in INPUTS for m in await scene.courier.dead(queue)}
    for id in sorted(found ^ expected):
        yield f"{ledger.lines.get(id, id)} {'should be' if id in expected else 'is'} dead-lettered"
    for queue in (RESULTS_QUEUE, REJECTED_QUEUE):
        if dead := scene.broker.queue(queue).dead_lettered:
            yield f"{queue} has {dead} dead letters"


def _leftovers(scene: Scene) -> Iterator[str]:
    for queue in INPUTS:
        counts = scene.broker.queue(queue)
        if counts != QueueCounts(dead_lettered=counts.dead_lettered):
            yield f"{queue} is not empty: {counts}"
    for queue in (RESULTS_QUEUE, REJECTED_QUEUE):
        counts = scene.broker.queue(queue)
        if counts.scheduled or counts.deferred:
            yield f"{queue} holds what nobody receives: {counts}"
