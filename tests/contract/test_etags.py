"""Conditions: what If-Match allows and forbids."""

import base64

import pytest

FORMS = {"raw": "{}", "quoted": '"{}"', "any": "*"}

forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())


def changed(record):
    """The record with another status."""
    return record | {"provisioningStatus": "disabled"}


@pytest.fixture
async def stale(dps, kind, record):
    """The etag that the record had before its last change."""
    await dps.create_or_update(
        kind.path, record[kind.id_member], changed(record), if_match=record["etag"]
    )
    return record["etag"]


@forms
async def test_put_with_etag_updates(dps, kind, record, form):
    """The etag of the record, raw or quoted, or `*` lets a PUT replace it."""
    if_match = form.format(record["etag"])

    reply = await dps.create_or_update(
        kind.path, record[kind.id_member], changed(record), if_match=if_match
    )

    assert (reply.status, reply.document["provisioningStatus"]) == (200, "disabled")


async def test_put_without_etag_is_refused(dps, kind, record):
    """A PUT on an existing record without If-Match is 409 in DPS's own words."""
    id_ = record[kind.id_member]

    reply = await dps.create_or_update(kind.path, id_, kind.document(id_))

    assert reply.error == (409, kind.exists)
    assert reply.document["message"].endswith("already exists.")


async def test_refused_put_changes_nothing(dps, kind, record):
    """After a 409 the record has its old etag."""
    id_ = record[kind.id_member]
    await dps.create_or_update(kind.path, id_, changed(record))

    reply = await dps.get(kind.path, id_)

    assert reply.document["etag"] == record["etag"]


@pytest.mark.parametrize("form", ["{}", '"{}"'], ids=["raw", "quoted"])
async def test_put_with_stale_etag_is_refused(dps, kind, record, stale, form):
    """A PUT with the etag of an earlier state is 412."""
    id_ = record[kind.id_member]

    reply = await dps.create_or_update(kind.path, id_, record, if_match=form.format(stale))

    assert (reply.status, reply.document["errorCode"] // 1000) == (412, 412)


@forms
async def test_delete_with_etag_deletes(dps, kind, record, form):
    """The etag of the record, raw or quoted, or `*` lets a DELETE remove it."""
    id_ = record[kind.id_member]

    reply = await dps.delete(kind.path, id_, if_match=form.format(record["etag"]))

    assert (reply.status, (await dps.get(kind.path, id_)).status) == (204, 404)


async def test_delete_with_stale_etag_is_refused(dps, kind, record, stale):
    """A DELETE with the etag of an earlier state is 412, and the record stays."""
    id_ = record[kind.id_member]

    reply = await dps.delete(kind.path, id_, if_match=stale)

    assert (reply.status, (await dps.get(kind.path, id_)).status) == (412, 200)


async def test_malformed_etag_is_refused(dps, kind, record):
    """An If-Match that no etag can be is 400."""
    id_ = record[kind.id_member]

    reply = await dps.create_or_update(kind.path, id_, record, if_match="no etag at all")

    assert reply.error == (400, 400004)


async def test_every_update_changes_the_etag(dps, kind, record):
    """Even an update that changes no member gives the record a new etag."""
    reply = await dps.create_or_update(kind.path, record[kind.id_member], record, if_match="*")

    assert reply.document["etag"] != record["etag"]


async def test_update_keeps_the_time_of_creation(dps, kind, record):
    """An update leaves createdDateTimeUtc and moves lastUpdatedDateTimeUtc."""
    reply = await dps.create_or_update(kind.path, record[kind.id_member], record, if_match="*")

    assert record["createdDateTimeUtc"] == record["lastUpdatedDateTimeUtc"]
    assert reply.document["createdDateTimeUtc"] == record["createdDateTimeUtc"]
    before, after = (r["lastUpdatedDateTimeUtc"].rstrip("Z") for r in (record, reply.document))
    assert before < after


async def test_etag_is_base64_of_a_quoted_text(dps, kind, record):
    """The etag of GET is that of PUT, and decodes to a text in quotes, as recorded."""
    reply = await dps.get(kind.path, record[kind.id_member])

    decoded = base64.b64decode(record["etag"], validate=True).decode()
    assert reply.document["etag"] == record["etag"]
    assert decoded == f'"{decoded[1:-1]}"'
