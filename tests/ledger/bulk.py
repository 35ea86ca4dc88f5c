"""Bulk messages: some records at once, of which a few may be faulty."""

from collections.abc import Callable, Sequence
from typing import Any

from tests.ledger.asked import BULK, SUCCEEDED, Item, Step, etag_of, to_json
from tests.ledger.records import Thing

# Modes for records that are there, and for those that are not.
ON_EXISTING = ("update", "updateIfMatchETag", "delete", "upsert")
ON_MISSING = ("create", "upsert")
_FAULTY = 0.05


def bulk(things: Sequence[Thing], mode: str, id: str, *, times: int = 1) -> Step:
    """The message `id` that does the same to all; now and then a record is wrong."""
    found = [_part(thing, mode, f"{id}/{place}") for place, thing in enumerate(things)]
    path = things[0].kind.path
    return Step(
        id=id,
        what=f"bulk {mode} of {len(things)} {path}" + f" x{times}" * (times > 1),
        queue=BULK,
        body=to_json({"mode": mode, path: [document for document, _ in found]}),
        items=tuple(item for _, item in found),
        times=times,
    )


Part = tuple[dict[str, Any], Item]


def _part(thing: Thing, mode: str, mark: str) -> Part:
    if mode != "delete" and thing.rng.random() < _FAULTY:
        fault = thing.rng.choice(list(_FAULTS))
        return _FAULTS[fault](thing, mark, mode)
    if mode == "delete":
        thing.delete()
        return {thing.kind.id_member: thing.spelling()}, Item(key=thing.key)
    document = thing.next(mark)
    thing.write(document)
    etag = {"etag": etag_of(thing.key)} if mode == "updateIfMatchETag" else {}
    return {**document, **etag}, Item(key=thing.key, endings=(SUCCEEDED,))


def _without_attestation(thing: Thing, mark: str, _: str) -> Part:
    document = thing.next(mark)
    del document["attestation"]
    return _faulty(thing, document, "InvalidRequest")


def _with_foreign_hub(thing: Thing, mark: str, mode: str) -> Part:
    etag = {"etag": etag_of(thing.key)} if mode == "updateIfMatchETag" else {}
    document = thing.next(mark) | {"iotHubs": ["nobody.azure-devices.net"]} | etag
    return _faulty(thing, document, "DpsBadRequest")


def _faulty(thing: Thing, document: dict[str, Any], reason: str) -> Part:
    thing.story.after.setdefault(thing.key, thing.document)
    return document, Item(key=thing.key, endings=(reason,))


_FAULTS: dict[str, Callable[[Thing, str, str], Part]] = {
    "without attestation": _without_attestation,
    "with a hub that is not linked": _with_foreign_hub,
}
