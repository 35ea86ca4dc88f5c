"""Queries and their pages."""

import base64
import json

import pytest

from tests.local.dps.calls import tpm_document

ALL = {"query": "SELECT *"}


def fill(client, kind, count):
    """Creates rec-0 and so on; the ids."""
    items = [kind.document(f"rec-{n}") for n in range(count)]
    for start in range(0, count, 10):
        client.post(f"/{kind.path}", json={kind.path: items[start : start + 10], "mode": "create"})
    return [item[kind.id_member] for item in items]


def pages(client, kind, size):
    """The ids of each page, to the end."""
    headers = {"x-ms-max-item-count": str(size)}
    while True:
        reply = client.post(f"/{kind.path}/query", json=ALL, headers=headers)
        yield [record[kind.id_member] for record in reply.json()]
        if "x-ms-continuation" not in reply.headers:
            return
        headers["x-ms-continuation"] = reply.headers["x-ms-continuation"]


def test_every_record_is_found_once_and_in_no_order_of_ids(client, kind):
    """Pages of three over ten records."""
    ids = fill(client, kind, 10)

    found = list(pages(client, kind, 3))

    everything = [id_ for page in found for id_ in page]
    assert [len(page) for page in found] == [3, 3, 3, 1]
    assert sorted(everything) == ids
    assert everything != ids


def test_a_page_holds_100_unless_told(client, kind):
    """The default of the service."""
    fill(client, kind, 101)

    reply = client.post(f"/{kind.path}/query", json=ALL)

    assert len(reply.json()) == 100
    assert "x-ms-continuation" in reply.headers


def test_a_full_last_page_has_no_continuation(client, kind):
    """The header's absence is the end; no empty page follows."""
    fill(client, kind, 6)

    assert [len(page) for page in pages(client, kind, 3)] == [3, 3]


def test_the_headers_are_those_recorded(client, kind):
    """And x-ms-max-item-count is not among them."""
    reply = client.post(f"/{kind.path}/query", json=ALL, headers={"x-ms-max-item-count": "5"})

    assert set(reply.headers) == {
        "content-type",
        "date",
        "strict-transport-security",
        "transfer-encoding",
        "x-content-type-options",
        "x-ms-item-type",
    }
    assert reply.headers["x-ms-item-type"] == kind.item_type


def test_a_continuation_looks_as_recorded(client, kind):
    """Base64 of a list with a token and a range."""
    fill(client, kind, 2)

    reply = client.post(f"/{kind.path}/query", json=ALL, headers={"x-ms-max-item-count": "1"})

    [token] = json.loads(base64.b64decode(reply.headers["x-ms-continuation"]))
    assert token["token"].startswith("+RID:~")
    assert set(token) == {"token", "range"}


def test_a_continuation_survives_deletes(client, kind):
    """It marks a place, not a count: records removed meanwhile move nothing."""
    fill(client, kind, 9)
    walk = pages(client, kind, 3)
    first = next(walk)
    for id_ in first:
        client.delete(f"/{kind.path}/{id_}")

    rest = [id_ for page in walk for id_ in page]

    assert len(set(rest)) == 6


def test_a_continuation_does_not_depend_on_page_sizes(client, kind):
    """After four records it is the same, however they were paged."""
    fill(client, kind, 6)

    def after(*sizes):
        token = {}
        for size in sizes:
            headers = {"x-ms-max-item-count": str(size)} | token
            reply = client.post(f"/{kind.path}/query", json=ALL, headers=headers)
            token = {"x-ms-continuation": reply.headers["x-ms-continuation"]}
        return token

    assert after(4) == after(2, 2)


def test_a_continuation_of_another_query_is_400(client, kind):
    """Groups cannot be continued where enrollments ended, nor the reverse."""
    fill(client, kind, 2)
    reply = client.post(f"/{kind.path}/query", json=ALL, headers={"x-ms-max-item-count": "1"})
    token = {"x-ms-continuation": reply.headers["x-ms-continuation"]}
    [other] = {"enrollments", "enrollmentGroups"} - {kind.path}

    reply = client.post(f"/{other}/query", json=ALL, headers=token)

    assert (reply.status_code, reply.json()["errorCode"]) == (400, 400000)
    assert reply.json()["message"] == "Bad Request"


@pytest.mark.parametrize(
    "headers",
    [{"x-ms-continuation": token} for token in ("", "x", "e30=", "4oKs", "/w==")]
    + [{"x-ms-max-item-count": size} for size in ("", "0", "-1", "ten", "1.5")],
)
def test_garbage_in_a_paging_header_is_400(client, kind, headers):
    """It is 400000, as the service says for a continuation it did not give."""
    reply = client.post(f"/{kind.path}/query", json=ALL, headers=headers)

    assert (reply.status_code, reply.json()["errorCode"]) == (400, 400000)


@pytest.mark.parametrize(
    "query", ["SELECT *", "select *", "*", " SELECT * FROM enrollments WHERE deviceId = 'nobody'"]
)
def test_whatever_selects_selects_all(client, query):
    """A WHERE is not heeded: nothing shows that the service heeds one."""
    client.put("/enrollments/tpm-1", json=tpm_document())

    reply = client.post("/enrollments/query", json={"query": query})

    assert [record["registrationId"] for record in reply.json()] == ["tpm-1"]
    assert "registrationState" not in reply.json()[0]


@pytest.mark.parametrize("body", [{}, {"query": None}, {"query": 1}, {"query": "DROP"}])
def test_a_query_that_selects_nothing_is_400(client, kind, body):
    """The query is required, and must be one."""
    reply = client.post(f"/{kind.path}/query", json=body)

    assert (reply.status_code, reply.json()["errorCode"]) == (400, 400004)
