"""Writes with a lost response while another writer changes the same record: no false answers."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import pytest

from local.dps import DpsStandIn
from shared.dps import DpsClient
from shared.dps.read_modify_write import patch
from shared.dps.resources import EnrollmentResource
from shared.errors import (
    DpsConflictError,
    DpsNotFoundError,
    DpsPreconditionFailedError,
    OverwrittenError,
)
from tests.shared.dps.batching.changes import clear_faults, wait_until
from tests.shared.dps.documents import individual

ID = "dev-1"
APPLIED, NOT_APPLIED = {"resetAfterCommit": True}, {"resetBefore": True}
OURS, THEIRS = individual(deviceId="ours"), individual(deviceId="theirs")

Write = Callable[[EnrollmentResource, str | None], Awaitable[None]]
"""A write of `dev-1`, given the etag that was stored before it."""
Theirs = Callable[[EnrollmentResource], Awaitable[None]]
"""What another writer does."""


async def create(resource: EnrollmentResource, _: str | None) -> None:
    await resource.create_or_update(ID, OURS)


async def update(resource: EnrollmentResource, etag: str | None) -> None:
    await resource.create_or_update(ID, OURS, if_match=etag)


async def overwrite(resource: EnrollmentResource, _: str | None) -> None:
    await resource.create_or_update(ID, OURS, if_match="*")


async def merge(resource: EnrollmentResource, _: str | None) -> None:
    await patch(resource, ID, {"deviceId": "ours"})


async def delete(resource: EnrollmentResource, _: str | None) -> None:
    await resource.delete(ID)


async def delete_etag(resource: EnrollmentResource, etag: str | None) -> None:
    await resource.delete(ID, if_match=etag)


async def delete_in_bulk(resource: EnrollmentResource, _: str | None) -> None:
    """Raises the error of the record."""
    operation = {"mode": "delete", "enrollments": [{"registrationId": ID}]}
    outcome = await resource.apply_bulk(operation)
    for error in outcome.errors.values():
        raise error


async def their_create(resource: EnrollmentResource) -> None:
    await resource.create_or_update(ID, THEIRS)


async def their_update(resource: EnrollmentResource) -> None:
    await resource.create_or_update(ID, THEIRS, if_match="*")


async def their_delete(resource: EnrollmentResource) -> None:
    await resource.delete(ID)


async def their_replacement(resource: EnrollmentResource) -> None:
    await their_delete(resource)
    await their_create(resource)


async def nothing(_: EnrollmentResource) -> None:
    """Nobody else writes."""


# The request whose response is lost, and the method of the next one for the record.
REQUESTS: dict[Write, tuple[str, str, str]] = {
    create: ("PUT", f"/{ID}$", "PUT"),
    update: ("PUT", f"/{ID}$", "PUT"),
    overwrite: ("PUT", f"/{ID}$", "GET"),
    merge: ("PUT", f"/{ID}$", "PUT"),
    delete: ("DELETE", f"/{ID}$", "GET"),
    delete_etag: ("DELETE", f"/{ID}$", "DELETE"),
    delete_in_bulk: ("POST", "^/enrollments$", "GET"),
}
Race = Callable[[Write, dict[str, bool], Theirs], Awaitable[BaseException | None]]


@pytest.fixture
def race(client: DpsClient, dps: DpsStandIn, inject_faults: Callable[..., None]) -> Race:
    """
    Runs a write whose first response is lost, and the other writer's before it goes on.

    Returns the error of the write.
    """

    async def run(write: Write, effect: dict[str, bool], theirs: Theirs) -> BaseException | None:
        etags = [record.etag async for record in client.enrollments.query({"query": "*"})]
        method, path, stalled = REQUESTS[write]
        inject_faults(
            {"match": {"method": method, "path": path}, "times": 1, "do": effect},
            {"match": {"method": stalled, "path": f"/{ID}$"}, "times": 1, "do": {"stall": True}},
        )

        def requests() -> int:
            return sum(r.method == stalled and r.path.endswith(ID) for r in dps.requests)

        is_stalled_at = requests() + (2 if stalled == method else 1)
        running = asyncio.ensure_future(write(client.enrollments, next(iter(etags), None)))
        await wait_until(lambda: requests() == is_stalled_at)
        await theirs(client.enrollments)
        clear_faults(dps)
        (error,) = await asyncio.gather(running, return_exceptions=True)
        return error

    return run


async def stored_device(client: DpsClient) -> str | None:
    """Returns the member that each writer sets in its own way; `None` if there is no record."""
    try:
        return str((await client.enrollments.get(ID)).get("deviceId"))
    except DpsNotFoundError:
        return None


class Case(NamedTuple):
    """A write, what happens to its first attempt, what the other writer does, and the outcome."""

    write: Write
    effect: dict[str, bool]
    theirs: Theirs
    error: type[Exception] | None
    device: str | None

    def __str__(self) -> str:
        effect = "applied" if self.effect is APPLIED else "not applied"
        return f"{self.write.__name__}, {effect}, {self.theirs.__name__}"


CASES = (
    # With no other writer every outcome is known.
    Case(update, APPLIED, nothing, None, "ours"),
    Case(update, NOT_APPLIED, nothing, None, "ours"),
    Case(overwrite, APPLIED, nothing, None, "ours"),
    Case(overwrite, NOT_APPLIED, nothing, None, "ours"),
    Case(merge, APPLIED, nothing, None, "ours"),
    Case(create, NOT_APPLIED, nothing, DpsConflictError, "before"),
    Case(delete, APPLIED, nothing, None, None),
    Case(delete, NOT_APPLIED, nothing, None, None),
    Case(delete_in_bulk, NOT_APPLIED, nothing, None, None),
    Case(delete_etag, APPLIED, nothing, None, None),
    # A refusal is true if the record is older, or was there all the time.
    Case(create, NOT_APPLIED, their_update, DpsConflictError, "theirs"),
    Case(delete_etag, NOT_APPLIED, their_update, DpsPreconditionFailedError, "theirs"),
    # Otherwise the write may have been applied before the other one.
    Case(create, NOT_APPLIED, their_replacement, OverwrittenError, "theirs"),
    Case(update, APPLIED, their_update, OverwrittenError, "theirs"),
    Case(update, NOT_APPLIED, their_update, OverwrittenError, "theirs"),
    Case(update, APPLIED, their_delete, OverwrittenError, None),
    Case(overwrite, APPLIED, their_update, OverwrittenError, "theirs"),
    Case(overwrite, NOT_APPLIED, their_update, OverwrittenError, "theirs"),
    Case(overwrite, APPLIED, their_delete, OverwrittenError, None),
    Case(merge, APPLIED, their_update, OverwrittenError, "theirs"),
    Case(merge, APPLIED, their_delete, OverwrittenError, None),
    Case(delete_etag, APPLIED, their_create, OverwrittenError, "theirs"),
    # A record that was created since is not removed.
    Case(delete, APPLIED, their_create, OverwrittenError, "theirs"),
    Case(delete, NOT_APPLIED, their_replacement, OverwrittenError, "theirs"),
    Case(delete_in_bulk, APPLIED, their_create, OverwrittenError, "theirs"),
    Case(delete_in_bulk, NOT_APPLIED, their_replacement, OverwrittenError, "theirs"),
    # A record that was only updated since is the one that was to be removed.
    Case(delete, NOT_APPLIED, their_update, None, None),
    Case(delete_in_bulk, NOT_APPLIED, their_update, None, None),
)


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_write_with_a_lost_response_beside_another_writer(
    client: DpsClient, race: Race, case: Case
) -> None:
    """A refusal is raised only if no attempt was applied, and nobody else's write is undone."""
    await client.enrollments.create_or_update(ID, individual(deviceId="before"))

    raised = await race(case.write, case.effect, case.theirs)

    assert type(raised) is (case.error or type(None))
    assert await stored_device(client) == case.device


async def test_create_that_was_overwritten_has_an_unknown_outcome(
    client: DpsClient, race: Race
) -> None:
    """The 409 of its repeat is not raised: the record was created since its first attempt."""
    raised = await race(create, APPLIED, their_update)

    assert type(raised) is OverwrittenError
    assert await stored_device(client) == "theirs"


async def test_stale_update_that_equals_the_record_is_refused(
    client: DpsClient, inject_faults: Callable[..., None]
) -> None:
    """An older record that equals the request was not written by it."""
    old = await client.enrollments.create_or_update(ID, individual(deviceId="before"))
    await client.enrollments.create_or_update(ID, OURS, if_match="*")
    inject_faults({"match": {"method": "PUT"}, "times": 1, "do": APPLIED})

    with pytest.raises(DpsPreconditionFailedError) as raised:
        await client.enrollments.create_or_update(ID, OURS, if_match=old.etag)

    assert not raised.value.in_doubt
