"""Queries, page by page."""

import base64

import pytest

from tests.contract.places import on_this_machine

# The token of the recordings, cut short: DPS's own, but of no query of ours.
OTHERS = base64.b64encode(b'[{"token":"+RID:~x#RT:1","range":{"min":"05","max":"06"}}]').decode()


@pytest.fixture
def fill(dps, kind, new_id):
    """Creates so many records, ten at a time; gives their ids."""

    async def create(number):
        made = [new_id() for _ in range(number)]
        for start in range(0, number, 10):
            documents = [kind.document(id_) for id_ in made[start : start + 10]]
            operation = {kind.path: documents, "mode": "create"}
            reply = await dps.run_bulk_operation(kind.path, operation)
            assert reply.document == {"errors": [], "isSuccessful": True}
        return made

    return create


def found_in(kind, pages):
    """The ids on all pages, in their order."""
    return [record[kind.id_member] for page in pages for record in page.document]


async def test_page_holds_100_by_default(dps, kind, fill):
    """Of more than a hundred records the first page holds one hundred and says there are more."""
    await fill(105)

    pages = await dps.query(kind.path)

    assert len(pages[0].document) == 100
    assert pages[0].continuation


async def test_every_record_is_found_once(dps, kind, fill):
    """The pages of ten together hold each of 35 records exactly once."""
    made = await fill(35)

    found = found_in(kind, await dps.query(kind.path, top=10))

    assert sorted(id_ for id_ in found if id_ in made) == sorted(made)


async def test_top_is_the_size_of_a_page(dps, kind, fill):
    """No page holds more than the ten records that were asked for."""
    await fill(15)

    pages = await dps.query(kind.path, top=10)

    assert max(len(page.document) for page in pages) == 10


@on_this_machine
@pytest.mark.parametrize(
    ("number", "sizes"), [(0, [0]), (9, [9]), (20, [10, 10]), (35, [10, 10, 10, 5])]
)
async def test_pages_end_with_the_records(dps, kind, fill, number, sizes):
    """Records come in pages of ten; only the last page names no continuation."""
    await fill(number)

    pages = await dps.query(kind.path, top=10)

    assert [len(page.document) for page in pages] == sizes
    assert [bool(page.continuation) for page in pages] == [True] * (len(sizes) - 1) + [False]


async def test_continuation_goes_on_where_the_page_ended(dps, kind, fill):
    """A query that starts from the token of a first page finds the rest."""
    await fill(25)
    first, *rest = await dps.query(kind.path, top=10)

    pages = await dps.query(kind.path, top=10, continuation=first.continuation)

    assert found_in(kind, pages) == found_in(kind, rest)


@on_this_machine
async def test_continuation_serves_another_page_size(dps, kind, fill):
    """A token is a place in the results: the page after it may be of any size."""
    await fill(25)
    first, *rest = await dps.query(kind.path, top=10)

    pages = await dps.query(kind.path, top=100, continuation=first.continuation)

    assert [found_in(kind, [page]) for page in pages] == [found_in(kind, rest)]


@pytest.mark.parametrize("token", ["Zm9yZWlnbg==", OTHERS], ids=["garbage", "of another query"])
async def test_foreign_continuation_is_refused(dps, kind, token):
    """A token that the query did not give is 400000."""
    (reply,) = await dps.query(kind.path, continuation=token)

    assert reply.error == (400, 400000)


@on_this_machine
async def test_continuation_of_the_other_collection_is_refused(dps, kind, fill):
    """A token of enrollments is foreign to groups, and the other way round."""
    other = {"enrollments": "enrollmentGroups", "enrollmentGroups": "enrollments"}[kind.path]
    await fill(11)
    first, *_ = await dps.query(kind.path, top=10)

    (reply,) = await dps.query(other, continuation=first.continuation)

    assert reply.error == (400, 400000)


async def test_query_strips_keys(dps, kind, record):
    """A query shows of a symmetric-key attestation its type alone."""
    pages = await dps.query(kind.path)

    shown = {r[kind.id_member]: r["attestation"] for page in pages for r in page.document}
    assert shown[record[kind.id_member]] == {"type": "symmetricKey"}


async def test_query_omits_registration_states(dps, kind, record):
    """Unlike a GET a query shows no registration state."""
    pages = await dps.query(kind.path)

    shown = {r[kind.id_member]: r for page in pages for r in page.document}
    assert "registrationState" not in shown[record[kind.id_member]]


@pytest.mark.parametrize("text", ["SELECT *", "select *", "SELECT * FROM {}"])
async def test_spellings_of_all_find_all(dps, kind, record, text):
    """The spellings that Microsoft's clients send all find the record."""
    pages = await dps.query(kind.path, text=text.format(kind.path))

    assert record[kind.id_member] in found_in(kind, pages)
