"""Up to ten records in one call."""

import pytest

from tests.contract.places import on_this_machine

SUCCESS = {"errors": [], "isSuccessful": True}


@pytest.fixture
def run(dps, kind):
    """Runs a bulk operation on documents."""

    async def run_mode(mode, *documents):
        return await dps.run_bulk_operation(kind.path, {kind.path: documents, "mode": mode})

    return run_mode


@pytest.fixture
async def two(kind, new_id, run):
    """The documents of two records that are there."""
    documents = [kind.document(new_id()) for _ in range(2)]
    reply = await run("create", *documents)
    assert reply.document == SUCCESS
    return documents


@pytest.fixture
def stored(dps, kind):
    """Gives the GET of each document's record."""

    async def get(documents):
        return [await dps.get(kind.path, document[kind.id_member]) for document in documents]

    return get


async def test_create_makes_records(kind, new_id, run, stored):
    """Ten records of one call are there afterwards."""
    documents = [kind.document(new_id()) for _ in range(10)]

    reply = await run("create", *documents)

    assert (reply.status, reply.document) == (200, SUCCESS)
    assert {found.status for found in await stored(documents)} == {200}


@pytest.mark.parametrize("mode", ["create", "update"])
async def test_existing_records_are_named_in_a_200(kind, two, run, mode):
    """To create again, or to update without etags, fails for each item in DPS's own words."""
    words = {409201: "Enrollment already exists.", 409202: "EnrollmentGroup already exists."}

    reply = await run(mode, *two)

    assert reply.status == 200
    assert reply.document == {
        "errors": [
            {
                kind.id_member: document[kind.id_member],
                "errorCode": kind.exists,
                "errorStatus": words[kind.exists],
            }
            for document in two
        ],
        "isSuccessful": False,
    }


async def test_members_of_a_result_come_in_the_recorded_order(kind, two, run):
    """`errors` comes before `isSuccessful`; an item is id, code, words."""
    reply = await run("create", *two)

    assert list(reply.document) == ["errors", "isSuccessful"]
    assert list(reply.document["errors"][0]) == [kind.id_member, "errorCode", "errorStatus"]


async def test_failed_item_does_not_stop_the_others(kind, new_id, two, run, stored):
    """A partial failure is a 200 that names the failed item, and the other records are made."""
    before, after = kind.document(new_id()), kind.document(new_id())

    reply = await run("create", before, two[0], after)

    failed = [error[kind.id_member] for error in reply.document["errors"]]
    assert (reply.status, reply.document["isSuccessful"]) == (200, False)
    assert failed == [two[0][kind.id_member]]
    assert [found.status for found in await stored([before, after])] == [200, 200]


@pytest.mark.parametrize("mode", ["update", "updateIfMatchETag"])
async def test_update_with_etags_updates(two, run, stored, mode):
    """Records from GET, etags and all, replace what is there."""
    changed = [
        found.document | document | {"provisioningStatus": "disabled"}
        for found, document in zip(await stored(two), two, strict=True)
    ]

    reply = await run(mode, *changed)

    assert (reply.status, reply.document) == (200, SUCCESS)
    assert {found.document["provisioningStatus"] for found in await stored(two)} == {"disabled"}


@on_this_machine
@pytest.mark.parametrize("mode", ["update", "updateIfMatchETag"])
async def test_update_with_stale_etag_fails_for_the_item(kind, two, run, stored, mode):
    """An item with the etag of an earlier state fails with 412, the other is updated."""
    first, second = [
        found.document | document for found, document in zip(await stored(two), two, strict=True)
    ]
    await run(mode, first)

    reply = await run(mode, first, second)

    (error,) = reply.document["errors"]
    assert (error[kind.id_member], error["errorCode"] // 1000) == (first[kind.id_member], 412)


async def test_delete_needs_no_etags(two, run, stored):
    """Records are deleted by documents without etags."""
    reply = await run("delete", *two)

    assert (reply.status, reply.document) == (200, SUCCESS)
    assert {found.status for found in await stored(two)} == {404}


@on_this_machine
async def test_delete_of_unknown_record_fails_for_the_item(kind, new_id, two, run):
    """An id that is not there is named with the code of a 404; the others are deleted."""
    unknown = kind.document(new_id())

    reply = await run("delete", unknown, *two)

    (error,) = reply.document["errors"]
    assert reply.status == 200
    assert (error[kind.id_member], error["errorCode"]) == (unknown[kind.id_member], kind.missing)


async def test_id_given_twice_fails_the_call(kind, new_id, run, stored):
    """A call that names one id twice is 400 as a whole and changes nothing."""
    document = kind.document(new_id())

    reply = await run("create", document, document)

    assert (reply.status, "errors" in reply.document) == (400, False)
    assert [found.status for found in await stored([document])] == [404]


async def test_unknown_mode_fails_the_call(kind, new_id, run):
    """A mode that there is not is 400004."""
    reply = await run("replace", kind.document(new_id()))

    assert reply.error == (400, 400004)
