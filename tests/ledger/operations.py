"""Requests for single records, each by its name: what is asked of a thing, and what comes of it."""

from collections.abc import Callable
from typing import Any

from tests.ledger.asked import SINGLE, SUCCEEDED, Item, Step, etag_of, to_json
from tests.ledger.records import Thing

Body = dict[str, Any]

_MEMBER = {"enrollments": "enrollment", "enrollmentGroups": "enrollmentGroup"}
_STALE = "IjAwMDAwMDAwLTAwMDAtMDAwMC0wMDAwLTAwMDAwMDAwMDAwMCI="


def _asks(thing: Thing, operation: str, id: str, **more: Any) -> Body:
    """A request that writes `thing`, and the note that it is written."""
    document = thing.next(id)
    thing.write(document)
    return {"operation": operation, _MEMBER[thing.kind.path]: document, **more}


def _in_vain(thing: Thing, operation: str, id: str, **more: Any) -> Body:
    document = thing.next(id)
    thing.might_be(document)
    return {"operation": operation, _MEMBER[thing.kind.path]: document, **more}


def _delete(thing: Thing, _: str, **more: Any) -> Body:
    thing.delete()
    by_id = {thing.kind.id_member: thing.spelling()}
    by_record = {_MEMBER[thing.kind.path]: by_id}
    return {"operation": "delete", **thing.rng.choice([by_id, by_record]), **more}


def _if_match(thing: Thing) -> str:
    etag = etag_of(thing.key)
    return thing.rng.choice([etag, f'"{etag}"'])


Ask = Callable[[Thing, str], Body]

# Of what is there: what is asked, the endings that are right, and those when it is asked twice.
ON_EXISTING: dict[str, tuple[Ask, str, tuple[str, ...]]] = {
    "upsert over": (lambda t, id: _asks(t, "upsert", id), SUCCEEDED, ()),
    "update": (lambda t, id: _asks(t, "update", id), SUCCEEDED, ()),
    "update ifMatch": (
        lambda t, id: _asks(t, "update", id, ifMatch=_if_match(t)),
        SUCCEEDED,
        ("DpsPreconditionFailed",),
    ),
    "delete": (_delete, SUCCEEDED, ("DpsNotFound",)),
    "delete ifMatch": (
        lambda t, id: _delete(t, id, ifMatch=_if_match(t)),
        SUCCEEDED,
        ("DpsNotFound",),
    ),
    "create over": (lambda t, id: _in_vain(t, "create", id), "DpsConflict", ()),
    "update ifMatch stale": (
        lambda t, id: _in_vain(t, "update", id, ifMatch=_STALE),
        "DpsPreconditionFailed",
        (),
    ),
}
# The same of what is not there.
ON_MISSING: dict[str, tuple[Ask, str, tuple[str, ...]]] = {
    "create": (lambda t, id: _asks(t, "create", id), SUCCEEDED, ("DpsConflict",)),
    "upsert": (lambda t, id: _asks(t, "upsert", id), SUCCEEDED, ()),
    "update missing": (lambda t, id: _in_vain(t, "update", id), "DpsNotFound", ()),
}


def operations_on(thing: Thing) -> dict[str, tuple[Ask, str, tuple[str, ...]]]:
    """What can be asked of it as it stands."""
    return ON_MISSING if thing.document is None else ON_EXISTING


def asked_of(thing: Thing, name: str, id: str, *, times: int = 1) -> Step:
    """The message `id` that asks `name` of `thing`."""
    ask, ending, if_doubled = operations_on(thing)[name]
    body, content_type, properties = _wrapped(thing, ask(thing, id), id)
    return Step(
        id=id,
        what=f"{name} {thing.kind.path}/{thing.id}" + f" x{times}" * (times > 1),
        queue=SINGLE,
        body=body,
        items=(Item(key=thing.key, endings=(ending, *(if_doubled if times > 1 else ()))),),
        content_type=content_type,
        properties=properties,
        times=times,
    )


def _wrapped(thing: Thing, request: Body, id: str) -> tuple[bytes, str | None, dict[str, str]]:
    """Plain, or as a CloudEvent in one of its modes."""
    event = {"specversion": "1.0", "id": id, "source": "/ledger", "type": "ledger.request"}
    match thing.rng.choice(["plain"] * 8 + ["structured", "binary"]):
        case "structured":
            body = to_json({**event, "data": request})
            return body, "application/cloudevents+json; charset=utf-8", {}
        case "binary":
            attributes = {f"cloudEvents:{name}": value for name, value in event.items()}
            return to_json(request), "application/json", attributes
    return to_json(request), thing.rng.choice(["application/json", None]), {}
