"""Bulk operations."""

import pytest

from tests.local.dps.calls import ENROLLMENT


def run(client, kind, mode, items):
    """One bulk call."""
    return client.post(f"/{kind.path}", json={kind.path: items, "mode": mode})


def test_create_stores_every_item(client, kind):
    """Ten at once, and the answer says no more than that it went well."""
    items = [kind.document(f"rec-{n}") for n in range(10)]

    reply = run(client, kind, "create", items)

    assert (reply.status_code, reply.json()) == (200, {"errors": [], "isSuccessful": True})
    assert client.get(f"/{kind.path}/rec-9").status_code == 200


def test_one_failing_item_leaves_the_others_done(client, kind):
    """Errors come in the order of the items, with HTTP 200."""
    client.put(f"/{kind.path}/rec-2", json=kind.document("rec-2"))
    items = [kind.document(f"rec-{n}") for n in range(4)]
    items[1].pop("attestation")

    reply = run(client, kind, "create", items)

    result = reply.json()
    assert (reply.status_code, result["isSuccessful"]) == (200, False)
    assert [(e[kind.id_member], e["errorCode"]) for e in result["errors"]] == [
        ("rec-1", 400004),
        ("rec-2", kind.exists),
    ]
    assert list(result["errors"][1]) == [kind.id_member, "errorCode", "errorStatus"]
    assert client.get(f"/{kind.path}/rec-3").status_code == 200


@pytest.mark.parametrize("mode", ["update", "updateIfMatchETag"])
def test_update_without_etag_is_a_conflict(client, kind, mode):
    """As recorded: each such item exists already."""
    client.put(f"/{kind.path}/rec-1", json=kind.document())

    reply = run(client, kind, mode, [kind.document()])

    assert [error["errorCode"] for error in reply.json()["errors"]] == [kind.exists]


@pytest.mark.parametrize("mode", ["update", "updateIfMatchETag"])
@pytest.mark.parametrize(
    ("etag", "codes"), [(None, []), ("*", []), ("IjEi", [412001]), ("garbled", [400004])]
)
def test_update_compares_the_etag_of_the_item(client, kind, mode, etag, codes):
    """The right one, or any, succeeds; a stale one is 412001, none at all of them 400004."""
    current = client.put(f"/{kind.path}/rec-1", json=kind.document()).json()["etag"]

    reply = run(client, kind, mode, [kind.document(etag=etag or current)])

    assert [error["errorCode"] for error in reply.json()["errors"]] == codes


@pytest.mark.parametrize("mode", ["update", "updateIfMatchETag", "delete"])
def test_a_missing_record_is_named(client, kind, mode):
    """Neither updated into being nor silently deleted."""
    reply = run(client, kind, mode, [kind.document(etag="IjEi")])

    assert [error["errorCode"] for error in reply.json()["errors"]] == [kind.missing]


def test_delete_needs_no_etag_and_no_document(client, kind):
    """An id is enough, and an etag beside it is not looked at."""
    client.put(f"/{kind.path}/rec-1", json=kind.document())

    reply = run(client, kind, "delete", [{kind.id_member: "REC-1", "etag": "IjEi"}])

    assert reply.json()["isSuccessful"] is True
    assert client.get(f"/{kind.path}/rec-1").status_code == 404


def test_delete_of_bare_ids_is_refused_if_asked(stand_in, kind):
    """Whether the service does is unknown, so both can be had."""
    _, client = stand_in(delete_needs_attestation=True)
    client.put(f"/{kind.path}/rec-1", json=kind.document())

    bare = run(client, kind, "delete", [{kind.id_member: "rec-1"}])
    whole = run(client, kind, "delete", [kind.document()])

    assert (bare.status_code, whole.json()["isSuccessful"]) == (400, True)


ITEM = ENROLLMENT.document()


@pytest.mark.parametrize(
    "body",
    [
        {"mode": "upsert", "enrollments": [ITEM]},
        {"enrollments": [ITEM]},
        {"mode": "create"},
        {"mode": "create", "enrollmentGroups": [ITEM]},
        {"mode": "create", "enrollments": []},
        {"mode": "create", "enrollments": [ITEM, "text"]},
        {"mode": "create", "enrollments": [ENROLLMENT.document(None)]},
        {"mode": "create", "enrollments": [ENROLLMENT.document("a"), ENROLLMENT.document("A")]},
        {"mode": "create", "enrollments": [ENROLLMENT.document(f"{n}") for n in range(11)]},
    ],
)
def test_a_call_that_is_wrong_as_a_whole_is_400(client, body):
    """Unknown mode, no items, more than ten, an id missing or twice: nothing is done."""
    reply = client.post("/enrollments", json=body)

    assert (reply.status_code, reply.json()["errorCode"]) == (400, 400004)
    assert client.post("/enrollments/query", json={"query": "*"}).json() == []
