"""Bad ids and headers: each is named, and DPS is not asked."""

from urllib.parse import quote

import httpx
import pytest

IDS = ["a/b", "a?b", "a#b", "a%2Fb", "a@b", "a b", "x" * 129, "end.", "end:", "end_", "ä"]


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("path", ["enrollments", "enrollmentGroups", "registrations"])
@pytest.mark.parametrize("id", IDS)
def test_id_that_is_none_is_400(app: httpx.Client, path: str, id: str):
    """An id in the path that DPS could not have is refused by name."""
    reply = app.get(f"/{path}/{quote(id, safe='')}")

    assert reply.status_code == 400
    assert list(reply.json()["info"]) == ["id"]


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("etag", ['"open', "a b", "a,b", 'W/"AAAA"', '""', "ä"])
def test_if_match_that_is_none_is_400(app: httpx.Client, etag: str):
    """If-Match is one etag or *; anything else is named."""
    headers = {"If-Match": etag.encode()}

    reply = app.delete("/enrollments/dev-1", headers=headers)

    assert reply.status_code == 400
    assert list(reply.json()["info"]) == ["If-Match"]


@pytest.mark.usefixtures("untouched")
def test_page_size_that_is_no_number_is_400(app: httpx.Client):
    """x-ms-max-item-count is a whole number."""
    headers = {"x-ms-max-item-count": "ten"}

    reply = app.post("/enrollments/query", json={"query": "*"}, headers=headers)

    assert list(reply.json()["info"]) == ["x-ms-max-item-count"]


@pytest.mark.usefixtures("untouched")
def test_continuation_that_is_none_is_400(app: httpx.Client):
    """A continuation is opaque, but it is ASCII."""
    headers = {"x-ms-continuation": "é".encode()}

    reply = app.post("/enrollments/query", json={"query": "*"}, headers=headers)

    assert list(reply.json()["info"]) == ["x-ms-continuation"]


def test_empty_continuation_is_the_start(app: httpx.Client):
    """A client that passes on what it has begins with nothing."""
    headers = {"x-ms-continuation": ""}

    assert app.post("/enrollments/query", json={"query": "*"}, headers=headers).json() == []
