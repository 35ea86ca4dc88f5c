"""Registration states, put there without a device."""

import pytest

from tests.local.dps.calls import ENROLLMENT, GROUP


def register(client, id_="dev-1", **members):
    """Puts a registration state; the answer."""
    return client.post("/_registrations", json={"registrationId": id_} | members)


def test_a_registration_has_the_recorded_members(client):
    """In the recorded order, with times and etag made; the group is not shown."""
    register(client, enrollmentGroupId="group-1", assignedHub="hub-1.azure-devices.net")

    reply = client.get("/registrations/DEV-1")

    assert list(reply.json()) == [
        "registrationId",
        "createdDateTimeUtc",
        "assignedHub",
        "deviceId",
        "status",
        "substatus",
        "lastUpdatedDateTimeUtc",
        "etag",
    ]
    assert reply.json()["status"] == "assigned"


def test_a_failed_registration_tells_why(client):
    """Code and message are shown, and nothing of an assignment."""
    register(client, status="failed", errorCode=400207, errorMessage="Custom allocation failed")

    reply = client.get("/registrations/dev-1").json()

    assert (reply["errorCode"], reply["errorMessage"]) == (400207, "Custom allocation failed")
    assert "deviceId" not in reply


def test_an_enrollment_shows_the_state_of_its_device(client):
    """The same state that the registration route answers."""
    client.put("/enrollments/dev-1", json=ENROLLMENT.document("dev-1"))
    register(client, payload={"a": None})

    shown = client.get("/enrollments/dev-1").json()["registrationState"]

    assert shown == client.get("/registrations/dev-1").json()
    assert shown["payload"] == {"a": None}


@pytest.mark.parametrize("body", [{}, {"json": {"query": "*"}}, {"content": "what ever"}])
def test_a_group_query_finds_the_registrations_of_the_group(client, body):
    """With no body as in Python, with one as in other SDKs; groups are compared without case."""
    register(client, "dev-1", enrollmentGroupId="group-1")
    register(client, "dev-2", enrollmentGroupId="group-2")

    reply = client.post("/registrations/GROUP-1/query", **body)

    assert [state["registrationId"] for state in reply.json()] == ["dev-1"]
    assert reply.headers["x-ms-item-type"] == "DeviceRegistration"


def test_a_group_query_pages(client):
    """The continuation is good for this group only."""
    for n in range(3):
        register(client, f"dev-{n}", enrollmentGroupId="group-1")
    first = client.post("/registrations/group-1/query", headers={"x-ms-max-item-count": "2"})
    token = {"x-ms-continuation": first.headers["x-ms-continuation"]}

    second = client.post("/registrations/group-1/query", headers=token)
    foreign = client.post("/registrations/group-2/query", headers=token)

    assert (len(first.json()), len(second.json())) == (2, 1)
    assert foreign.json()["errorCode"] == 400000


def test_an_unknown_group_has_no_registrations(client):
    """An empty list, not an error."""
    reply = client.post("/registrations/nobody/query")

    assert (reply.status_code, reply.json()) == (200, [])


def test_deleting_a_group_leaves_its_registrations(client):
    """As documented: they stay, and count."""
    client.put("/enrollmentGroups/group-1", json=GROUP.document("group-1"))
    register(client, enrollmentGroupId="group-1")

    client.delete("/enrollmentGroups/group-1")

    assert len(client.post("/registrations/group-1/query").json()) == 1


@pytest.mark.parametrize(("etag", "status"), [(None, 204), ("*", 204), ("IjEi", 412), ("x", 400)])
def test_delete_heeds_if_match(client, etag, status):
    """Unconditional without, refused with a stale or garbled one."""
    register(client)
    headers = {} if etag is None else {"If-Match": etag}

    assert client.delete("/registrations/dev-1", headers=headers).status_code == status


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_missing_registration_is_404(client, method):
    """With a code of its own."""
    reply = client.request(method, "/registrations/nobody")

    assert (reply.status_code, reply.json()["errorCode"]) == (404, 404202)


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/registrationId"]),
        ([], [""]),
        (
            {"registrationId": "a b", "status": "gone", "hub": "x", "errorCode": "1"},
            ["/errorCode", "/hub", "/registrationId", "/status"],
        ),
    ],
)
def test_a_misshapen_registration_is_named_in_full(client, body, pointers):
    """Every fault of an order to the stand-in is named at once."""
    reply = client.post("/_registrations", json=body)

    assert reply.status_code == 400
    assert sorted(reply.json()["errors"]) == pointers
