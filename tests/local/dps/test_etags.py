"""Etags, the conditions made of them, and the times of writes."""

import base64
import re

import pytest

from tests.local.dps.calls import Clock


@pytest.mark.parametrize(
    "spelling", ["{}", '"{}"', "*", '"*"'], ids=["raw", "quoted", "any", "any quoted"]
)
def test_if_match_is_taken_in_every_spelling(client, kind, spelling):
    """Python sends the etag raw, C# in quotes; a star is any etag."""
    etag = client.put(f"/{kind.path}/rec-1", json=kind.document()).json()["etag"]
    headers = {"If-Match": spelling.format(etag)}

    updated = client.put(f"/{kind.path}/rec-1", json=kind.document(), headers=headers)
    headers = {"If-Match": spelling.format(updated.json()["etag"])}
    deleted = client.delete(f"/{kind.path}/rec-1", headers=headers)

    assert (updated.status_code, deleted.status_code) == (200, 204)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_stale_if_match_is_412(client, kind, method):
    """Whoever read an earlier version changes nothing."""
    old = client.put(f"/{kind.path}/rec-1", json=kind.document()).json()["etag"]
    client.put(f"/{kind.path}/rec-1", json=kind.document(), headers={"If-Match": old})

    reply = client.request(
        method, f"/{kind.path}/rec-1", json=kind.document(), headers={"If-Match": old}
    )

    assert (reply.status_code, reply.json()["errorCode"]) == (412, 412001)
    assert reply.json()["message"] == "Precondition failed."


@pytest.mark.parametrize("etag", ["not base64!", '"IjEi', "", '""', 'W/"IjEi"'])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_garbled_if_match_is_400(client, kind, method, etag):
    """What cannot be an etag is named as one that is invalid."""
    client.put(f"/{kind.path}/rec-1", json=kind.document())

    reply = client.request(
        method, f"/{kind.path}/rec-1", json=kind.document(), headers={"If-Match": etag}
    )

    assert (reply.status_code, reply.json()["errorCode"]) == (400, 400004)
    assert reply.json()["message"] == "ETag is invalid"


def test_an_etag_is_a_quoted_cosmos_etag_with_the_time_of_the_write(stand_in, kind):
    """Decoded as in the recordings: the last group begins with unix seconds, in hex."""
    clock = Clock()
    _, client = stand_in(clock=clock)

    etag = client.put(f"/{kind.path}/rec-1", json=kind.document()).json()["etag"]

    decoded = base64.b64decode(etag).decode()
    assert re.fullmatch(r'"[0-9a-f]{8}-0000-0800-0000-645aad9b0000"', decoded)


def test_an_etag_changes_with_every_write(stand_in, kind):
    """Even if nothing else and not a second has changed."""
    _, client = stand_in(clock=Clock())
    document = kind.document()
    first = client.put(f"/{kind.path}/rec-1", json=document).json()

    second = client.put(
        f"/{kind.path}/rec-1", json=document, headers={"If-Match": first["etag"]}
    ).json()

    assert first.pop("etag") != second.pop("etag")
    assert first == second


def test_an_update_keeps_the_time_of_creation(stand_in, kind):
    """A create sets both times, an update one; trailing zeros of the seven digits are trimmed."""
    clock = Clock()
    _, client = stand_in(clock=clock)
    created = client.put(f"/{kind.path}/rec-1", json=kind.document()).json()
    clock.advance(1.3338934)

    updated = client.put(
        f"/{kind.path}/rec-1", json=kind.document(), headers={"If-Match": created["etag"]}
    ).json()

    assert created["createdDateTimeUtc"] == created["lastUpdatedDateTimeUtc"]
    assert updated["createdDateTimeUtc"] == "2023-05-09T20:31:23.6661066Z"
    assert updated["lastUpdatedDateTimeUtc"] == "2023-05-09T20:31:25Z"
