"""Etags, If-Match and the times of writes."""

import base64
import re

import httpx
import pytest

from tests.local.dps.calls import Clock, Kind, StartDps


@pytest.mark.parametrize(
    "spelling", ["{}", '"{}"', "*", '"*"'], ids=["raw", "quoted", "any", "any quoted"]
)
def test_if_match_may_be_bare_or_quoted(client: httpx.Client, kind: Kind, spelling: str) -> None:
    """Python sends a bare etag, C# a quoted one; * matches any."""
    etag = client.put(f"/{kind.path}/rec-1", json=kind.document()).json()["etag"]
    headers = {"If-Match": spelling.format(etag)}

    updated = client.put(f"/{kind.path}/rec-1", json=kind.document(), headers=headers)
    headers = {"If-Match": spelling.format(updated.json()["etag"])}
    deleted = client.delete(f"/{kind.path}/rec-1", headers=headers)

    assert (updated.status_code, deleted.status_code) == (200, 204)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_stale_if_match_is_412(client: httpx.Client, kind: Kind, method: str) -> None:
    """The record does not change."""
    old = client.put(f"/{kind.path}/rec-1", json=kind.document()).json()["etag"]
    client.put(f"/{kind.path}/rec-1", json=kind.document(), headers={"If-Match": old})

    response = client.request(
        method, f"/{kind.path}/rec-1", json=kind.document(), headers={"If-Match": old}
    )

    assert (response.status_code, response.json()["errorCode"]) == (412, 412001)
    assert response.json()["message"] == "Precondition failed."


@pytest.mark.parametrize("etag", ["not base64!", '"IjEi', "", '""', 'W/"IjEi"'])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_invalid_if_match_is_400(client: httpx.Client, kind: Kind, method: str, etag: str) -> None:
    """The error has DPS's message."""
    client.put(f"/{kind.path}/rec-1", json=kind.document())

    response = client.request(
        method, f"/{kind.path}/rec-1", json=kind.document(), headers={"If-Match": etag}
    )

    assert (response.status_code, response.json()["errorCode"]) == (400, 400004)
    assert response.json()["message"] == "ETag is invalid"


def test_etag_is_that_of_cosmos_db(start_dps: StartDps, kind: Kind) -> None:
    """The last group of the decoded etag begins with Unix seconds in hexadecimal, as recorded."""
    clock = Clock()
    _, client = start_dps(clock=clock)

    etag = client.put(f"/{kind.path}/rec-1", json=kind.document()).json()["etag"]

    decoded = base64.b64decode(etag).decode()
    assert re.fullmatch(r'"[0-9a-f]{8}-0000-0800-0000-645aad9b0000"', decoded)


def test_each_write_changes_the_etag(start_dps: StartDps, kind: Kind) -> None:
    """A write that changes nothing else changes the etag."""
    _, client = start_dps(clock=Clock())
    document = kind.document()
    first = client.put(f"/{kind.path}/rec-1", json=document).json()

    second = client.put(
        f"/{kind.path}/rec-1", json=document, headers={"If-Match": first["etag"]}
    ).json()

    assert first.pop("etag") != second.pop("etag")
    assert first == second


def test_update_keeps_the_creation_time(start_dps: StartDps, kind: Kind) -> None:
    """Times have up to seven digits of a second, without trailing zeros."""
    clock = Clock()
    _, client = start_dps(clock=clock)
    created = client.put(f"/{kind.path}/rec-1", json=kind.document()).json()
    clock.advance(1.3338934)

    updated = client.put(
        f"/{kind.path}/rec-1", json=kind.document(), headers={"If-Match": created["etag"]}
    ).json()

    assert created["createdDateTimeUtc"] == created["lastUpdatedDateTimeUtc"]
    assert updated["createdDateTimeUtc"] == "2023-05-09T20:31:23.6661066Z"
    assert updated["lastUpdatedDateTimeUtc"] == "2023-05-09T20:31:25Z"
