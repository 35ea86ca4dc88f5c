"""Queries and their pages."""

import base64
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from tests.contract.clients import Client, Reply
from tests.contract.targets import local_only
from tests.local.dps.calls import Kind

# A shortened token of the recordings: DPS's format, but of another query.
OF_ANOTHER_QUERY = base64.b64encode(
    b'[{"token":"+RID:~x#RT:1","range":{"min":"05","max":"06"}}]'
).decode()

CreateRecords = Callable[[int], Awaitable[list[str]]]


@pytest.fixture
def create_records(dps: Client, kind: Kind, new_id: Callable[..., str]) -> CreateRecords:
    """Creates this number of records, ten per call; returns their ids."""

    async def run(number: int) -> list[str]:
        ids = [new_id() for _ in range(number)]
        for start in range(0, number, 10):
            documents = [kind.document(id_) for id_ in ids[start : start + 10]]
            operation = {kind.path: documents, "mode": "create"}
            reply = await dps.run_bulk_operation(kind.path, operation)
            assert reply.document == {"errors": [], "isSuccessful": True}
        return ids

    return run


def ids_on(kind: Kind, pages: Sequence[Reply]) -> list[str]:
    """Returns the ids on all pages, in order."""
    return [record[kind.id_member] for page in pages for record in page.document]


async def test_page_has_100_records_by_default(
    dps: Client, kind: Kind, create_records: CreateRecords
) -> None:
    """With more than 100 records the first page has 100 and a continuation token."""
    await create_records(105)

    pages = await dps.query(kind.path)

    assert len(pages[0].document) == 100
    assert pages[0].continuation


async def test_every_record_is_returned_once(
    dps: Client, kind: Kind, create_records: CreateRecords
) -> None:
    """Pages of ten contain each of 35 records exactly once."""
    created = await create_records(35)

    returned = ids_on(kind, await dps.query(kind.path, top=10))

    assert sorted(id_ for id_ in returned if id_ in created) == sorted(created)


async def test_top_is_the_maximum_page_size(
    dps: Client, kind: Kind, create_records: CreateRecords
) -> None:
    """No page has more than the ten records requested."""
    await create_records(15)

    pages = await dps.query(kind.path, top=10)

    assert max(len(page.document) for page in pages) == 10


@local_only
@pytest.mark.parametrize(
    ("number", "sizes"), [(0, [0]), (9, [9]), (20, [10, 10]), (35, [10, 10, 10, 5])]
)
async def test_last_page_has_no_continuation(
    dps: Client, kind: Kind, create_records: CreateRecords, number: int, sizes: list[int]
) -> None:
    """Records come in pages of ten; only the last page has no continuation token."""
    await create_records(number)

    pages = await dps.query(kind.path, top=10)

    assert [len(page.document) for page in pages] == sizes
    assert [bool(page.continuation) for page in pages] == [True] * (len(sizes) - 1) + [False]


async def test_continuation_returns_the_rest(
    dps: Client, kind: Kind, create_records: CreateRecords
) -> None:
    """A query from the token of the first page returns the remaining records."""
    await create_records(25)
    first, *rest = await dps.query(kind.path, top=10)

    pages = await dps.query(kind.path, top=10, continuation=first.continuation)

    assert ids_on(kind, pages) == ids_on(kind, rest)


@local_only
async def test_continuation_allows_another_page_size(
    dps: Client, kind: Kind, create_records: CreateRecords
) -> None:
    """A token is a position in the results: the page after it may have any size."""
    await create_records(25)
    first, *rest = await dps.query(kind.path, top=10)

    pages = await dps.query(kind.path, top=100, continuation=first.continuation)

    assert [ids_on(kind, [page]) for page in pages] == [ids_on(kind, rest)]


@pytest.mark.parametrize(
    "token", ["Zm9yZWlnbg==", OF_ANOTHER_QUERY], ids=["garbage", "of another query"]
)
async def test_invalid_continuation_is_refused(dps: Client, kind: Kind, token: str) -> None:
    """A token that this query did not return is 400000."""
    (reply,) = await dps.query(kind.path, continuation=token)

    assert reply.error == (400, 400000)


@local_only
async def test_continuation_of_the_other_collection_is_refused(
    dps: Client, kind: Kind, create_records: CreateRecords
) -> None:
    """A token of enrollments is invalid for groups, and vice versa."""
    other = {"enrollments": "enrollmentGroups", "enrollmentGroups": "enrollments"}[kind.path]
    await create_records(11)
    first, *_ = await dps.query(kind.path, top=10)

    (reply,) = await dps.query(other, continuation=first.continuation)

    assert reply.error == (400, 400000)


async def test_query_omits_keys(dps: Client, kind: Kind, record: dict[str, Any]) -> None:
    """A query shows only the type of a symmetric key attestation."""
    pages = await dps.query(kind.path)

    shown = {r[kind.id_member]: r["attestation"] for page in pages for r in page.document}
    assert shown[record[kind.id_member]] == {"type": "symmetricKey"}


@pytest.mark.parametrize(
    "text",
    [
        "SELECT *",
        "select *",
        "SELECT * FROM {}",
        # azure-iot-sdk-csharp, issues 3478, 794 and 2188.
        "",
        "SELECT * FROM devices",
        "SELECT * FROM {} WHERE iotHubHostName = 'none'",
        # az iot dps enrollment list, azure-iot extension 0.25.0.
        "{{'additional_properties': {{}}, 'query': 'SELECT *'}}",
    ],
)
async def test_any_text_selects_all(
    dps: Client, kind: Kind, record: dict[str, Any], text: str
) -> None:
    """The texts that clients send all return the record, whatever they ask for."""
    pages = await dps.query(kind.path, text=text.format(kind.path))

    assert record[kind.id_member] in ids_on(kind, pages)
