"""Queries and their pages."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.local.dps.calls import Kind, tpm_document

ALL = {"query": "SELECT *"}


def create(client: httpx.Client, kind: Kind, count: int) -> list[str]:
    """Creates records rec-0 and so on, and returns their ids."""
    items = [kind.document(f"rec-{n}") for n in range(count)]
    for start in range(0, count, 10):
        client.post(f"/{kind.path}", json={kind.path: items[start : start + 10], "mode": "create"})
    return [item[kind.id_member] for item in items]


def pages(client: httpx.Client, kind: Kind, size: int) -> Iterator[list[str]]:
    """Yields the ids of each page."""
    headers = {"x-ms-max-item-count": str(size)}
    while True:
        response = client.post(f"/{kind.path}/query", json=ALL, headers=headers)
        yield [record[kind.id_member] for record in response.json()]
        if "x-ms-continuation" not in response.headers:
            return
        headers["x-ms-continuation"] = response.headers["x-ms-continuation"]


def test_pages_contain_each_record_once(client: httpx.Client, kind: Kind) -> None:
    """The records are not in the order of their ids."""
    ids = create(client, kind, 10)

    page_ids = list(pages(client, kind, 3))

    all_ids = [id_ for page in page_ids for id_ in page]
    assert [len(page) for page in page_ids] == [3, 3, 3, 1]
    assert sorted(all_ids) == ids
    assert all_ids != ids


def test_page_has_100_records_by_default(client: httpx.Client, kind: Kind) -> None:
    """The recorded default page size is 100."""
    create(client, kind, 101)

    response = client.post(f"/{kind.path}/query", json=ALL)

    assert len(response.json()) == 100
    assert "x-ms-continuation" in response.headers


def test_full_last_page_has_no_continuation_token(client: httpx.Client, kind: Kind) -> None:
    """No empty page follows."""
    create(client, kind, 6)

    assert [len(page) for page in pages(client, kind, 3)] == [3, 3]


def test_query_response_headers_are_those_recorded(client: httpx.Client, kind: Kind) -> None:
    """There is no x-ms-max-item-count."""
    response = client.post(f"/{kind.path}/query", json=ALL, headers={"x-ms-max-item-count": "5"})

    assert set(response.headers) == {
        "content-type",
        "date",
        "strict-transport-security",
        "transfer-encoding",
        "x-content-type-options",
        "x-ms-item-type",
    }
    assert response.headers["x-ms-item-type"] == kind.item_type


def test_continuation_token_has_the_recorded_form(client: httpx.Client, kind: Kind) -> None:
    """A token is base64 of a list with a token and a range."""
    create(client, kind, 2)

    response = client.post(f"/{kind.path}/query", json=ALL, headers={"x-ms-max-item-count": "1"})

    [token] = json.loads(base64.b64decode(response.headers["x-ms-continuation"]))
    assert token["token"].startswith("+RID:~")
    assert set(token) == {"token", "range"}


def test_continuation_token_stays_valid_after_deletes(client: httpx.Client, kind: Kind) -> None:
    """A token is a position, not a count: no remaining record is skipped."""
    create(client, kind, 9)
    remaining_pages = pages(client, kind, 3)
    first = next(remaining_pages)
    for id_ in first:
        client.delete(f"/{kind.path}/{id_}")

    rest = [id_ for page in remaining_pages for id_ in page]

    assert len(set(rest)) == 6


def test_continuation_token_does_not_depend_on_page_sizes(client: httpx.Client, kind: Kind) -> None:
    """After four records the token is the same for any page sizes."""
    create(client, kind, 6)

    def after(*sizes: int) -> dict[str, str]:
        token: dict[str, str] = {}
        for size in sizes:
            headers = {"x-ms-max-item-count": str(size)} | token
            response = client.post(f"/{kind.path}/query", json=ALL, headers=headers)
            token = {"x-ms-continuation": response.headers["x-ms-continuation"]}
        return token

    assert after(4) == after(2, 2)


def test_continuation_token_of_another_query_is_400(client: httpx.Client, kind: Kind) -> None:
    """The error has DPS's code and message."""
    create(client, kind, 2)
    response = client.post(f"/{kind.path}/query", json=ALL, headers={"x-ms-max-item-count": "1"})
    token = {"x-ms-continuation": response.headers["x-ms-continuation"]}
    [other] = {"enrollments", "enrollmentGroups"} - {kind.path}

    response = client.post(f"/{other}/query", json=ALL, headers=token)

    assert (response.status_code, response.json()["errorCode"]) == (400, 400000)
    assert response.json()["message"] == "Bad Request"


@pytest.mark.parametrize(
    "headers",
    [{"x-ms-continuation": token} for token in ("", "x", "e30=", "4oKs", "/w==")]
    + [{"x-ms-max-item-count": size} for size in ("", "0", "-1", "ten", "1.5")],
)
def test_invalid_paging_header_is_400(client: httpx.Client, kind: Kind, headers: Any) -> None:
    """The error has DPS's code for a continuation token that it did not create."""
    response = client.post(f"/{kind.path}/query", json=ALL, headers=headers)

    assert (response.status_code, response.json()["errorCode"]) == (400, 400000)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT *",
        "select *",
        "*",
        " SELECT * FROM enrollments WHERE deviceId = 'nobody'",
        "SELECT * FROM devices",
        "SELECT deviceId FROM enrollments",
        "",
        "DROP",
        "{'additional_properties': {}, 'query': 'SELECT *'}",  # az iot dps, extension 0.25.0
    ],
)
def test_any_text_returns_all_records(client: httpx.Client, query: str) -> None:
    """A WHERE is ignored, as are columns (azure-iot-sdk-csharp#794, #2188, #3478)."""
    client.put("/enrollments/tpm-1", json=tpm_document())

    response = client.post("/enrollments/query", json={"query": query})

    assert [record["registrationId"] for record in response.json()] == ["tpm-1"]
    assert "registrationState" not in response.json()[0]


@pytest.mark.parametrize("body", [{}, {"query": None}, {"query": 1}, {"query": {}}, []])
def test_missing_or_invalid_query_is_400(client: httpx.Client, kind: Kind, body: Any) -> None:
    """The query is required, and it is a text."""
    response = client.post(f"/{kind.path}/query", json=body)

    assert (response.status_code, response.json()["errorCode"]) == (400, 400004)
