"""Etags: what If-Match allows and refuses."""

import base64
from typing import Any

import pytest

from tests.contract.clients import Client
from tests.local.dps.calls import Kind

FORMS = {"raw": "{}", "quoted": '"{}"', "any": "*"}

forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())


def disable(record: dict[str, Any]) -> dict[str, Any]:
    """Returns the record with another provisioning status."""
    return record | {"provisioningStatus": "disabled"}


@pytest.fixture
async def stale_etag(dps: Client, kind: Kind, record: dict[str, Any]) -> Any:
    """The etag that the record had before its last update."""
    await dps.create_or_update(
        kind.path, record[kind.id_member], disable(record), if_match=record["etag"]
    )
    return record["etag"]


@forms
async def test_put_with_etag_updates(
    dps: Client, kind: Kind, record: dict[str, Any], form: str
) -> None:
    """A PUT with the record's etag, raw or quoted, or with `*` replaces the record."""
    if_match = form.format(record["etag"])

    reply = await dps.create_or_update(
        kind.path, record[kind.id_member], disable(record), if_match=if_match
    )

    assert (reply.status, reply.document["provisioningStatus"]) == (200, "disabled")


async def test_put_without_etag_is_refused(dps: Client, kind: Kind, record: dict[str, Any]) -> None:
    """A PUT of an existing record without If-Match is 409 with DPS's message."""
    id_ = record[kind.id_member]

    reply = await dps.create_or_update(kind.path, id_, kind.document(id_))

    assert reply.error == (409, kind.exists)
    assert reply.document["message"].endswith("already exists.")


async def test_refused_put_changes_nothing(dps: Client, kind: Kind, record: dict[str, Any]) -> None:
    """After a 409 the record has the same etag."""
    id_ = record[kind.id_member]
    await dps.create_or_update(kind.path, id_, disable(record))

    reply = await dps.get(kind.path, id_)

    assert reply.document["etag"] == record["etag"]


@pytest.mark.parametrize("form", ["{}", '"{}"'], ids=["raw", "quoted"])
async def test_put_with_stale_etag_is_refused(
    dps: Client, kind: Kind, record: dict[str, Any], stale_etag: str, form: str
) -> None:
    """A PUT with the etag of an earlier state is 412."""
    id_ = record[kind.id_member]

    reply = await dps.create_or_update(kind.path, id_, record, if_match=form.format(stale_etag))

    assert (reply.status, reply.document["errorCode"] // 1000) == (412, 412)


@forms
async def test_delete_with_etag_deletes(
    dps: Client, kind: Kind, record: dict[str, Any], form: str
) -> None:
    """A DELETE with the record's etag, raw or quoted, or with `*` deletes the record."""
    id_ = record[kind.id_member]

    reply = await dps.delete(kind.path, id_, if_match=form.format(record["etag"]))

    assert (reply.status, (await dps.get(kind.path, id_)).status) == (204, 404)


async def test_delete_with_stale_etag_is_refused(
    dps: Client, kind: Kind, record: dict[str, Any], stale_etag: str
) -> None:
    """A DELETE with the etag of an earlier state is 412, and the record remains."""
    id_ = record[kind.id_member]

    reply = await dps.delete(kind.path, id_, if_match=stale_etag)

    assert (reply.status, (await dps.get(kind.path, id_)).status) == (412, 200)


async def test_malformed_etag_is_refused(dps: Client, kind: Kind, record: dict[str, Any]) -> None:
    """A PUT with an If-Match that is no valid etag is 400004."""
    id_ = record[kind.id_member]

    reply = await dps.create_or_update(kind.path, id_, record, if_match="no etag at all")

    assert reply.error == (400, 400004)


async def test_every_update_changes_the_etag(
    dps: Client, kind: Kind, record: dict[str, Any]
) -> None:
    """Even an update that changes no member gives the record a new etag."""
    reply = await dps.create_or_update(kind.path, record[kind.id_member], record, if_match="*")

    assert reply.document["etag"] != record["etag"]


async def test_update_keeps_creation_time(dps: Client, kind: Kind, record: dict[str, Any]) -> None:
    """An update keeps createdDateTimeUtc and advances lastUpdatedDateTimeUtc."""
    reply = await dps.create_or_update(kind.path, record[kind.id_member], record, if_match="*")

    assert record["createdDateTimeUtc"] == record["lastUpdatedDateTimeUtc"]
    assert reply.document["createdDateTimeUtc"] == record["createdDateTimeUtc"]
    before, after = (r["lastUpdatedDateTimeUtc"].rstrip("Z") for r in (record, reply.document))
    assert before < after


async def test_etag_is_base64_of_a_quoted_string(
    dps: Client, kind: Kind, record: dict[str, Any]
) -> None:
    """GET returns the etag of the PUT, which decodes to a quoted string, as recorded."""
    reply = await dps.get(kind.path, record[kind.id_member])

    decoded = base64.b64decode(record["etag"], validate=True).decode()
    assert reply.document["etag"] == record["etag"]
    assert decoded == f'"{decoded[1:-1]}"'
