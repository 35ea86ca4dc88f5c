"""The device API on the wire: paths, headers, bodies, versions, quota."""

import uuid

import pytest

from tests.local.dps.devices import SCOPE, Device, custom, status


def test_a_registration_is_answered_as_recorded(yard):
    """202 with operation id and status; where, when and by which number in the headers."""
    reply = yard.individual().put()

    assert reply.status_code == 202
    assert list(reply.json()) == ["operationId", "status"]
    assert reply.json()["status"] == "assigning"
    assert reply.headers["Location"] == f"{yard.dps.url}/{SCOPE}/registrations/dev-1/register"
    assert str(uuid.UUID(reply.headers["x-ms-request-id"])) == reply.headers["x-ms-request-id"]
    assert set(reply.headers) == {
        "content-type",
        "date",
        "location",
        "retry-after",
        "strict-transport-security",
        "transfer-encoding",
        "x-ms-request-id",
    }


def test_an_operation_id_has_the_recorded_form(yard):
    """A digit, sixteen of them in hexadecimal, and a UUID."""
    operation_id = yard.individual().put().json()["operationId"]

    first, second, third = operation_id.split(".")
    assert (first, len(second), str(uuid.UUID(third))) == ("5", 16, third)


def test_devices_are_told_to_wait_three_seconds(yard_with):
    """As the service says, unless an option says otherwise."""
    yard = yard_with(retry_after_seconds=3)

    assert yard.individual().put().headers["Retry-After"] == "3"


def test_an_assigned_device_is_answered_as_recorded(yard):
    """The members in their order; no Retry-After, for there is nothing to wait for."""
    device = yard.individual()
    operation_id = device.put().json()["operationId"]
    device.finish(operation_id)

    reply = device.poll(operation_id)

    assert list(reply.json()) == ["operationId", "status", "registrationState"]
    assert (reply.status_code, reply.json()["status"]) == (200, "assigned")
    assert list(reply.json()["registrationState"]) == [
        "registrationId",
        "createdDateTimeUtc",
        "assignedHub",
        "deviceId",
        "status",
        "substatus",
        "lastUpdatedDateTimeUtc",
        "etag",
    ]
    assert "Retry-After" not in reply.headers


def test_the_service_api_shows_the_same_state(yard):
    """By id, with the enrollment, and to the letter."""
    state = yard.individual().register()

    assert yard.registration() == state
    assert yard.owner.get("/enrollments/dev-1").json()["registrationState"] == state


def test_a_device_may_ask_for_its_registration(yard):
    """With POST, as often as it likes."""
    device = yard.individual()
    state = device.register()

    reply = device.send("POST", "", json={"registrationId": "dev-1"})

    assert (reply.status_code, reply.json()) == (200, state)


def test_a_device_that_never_registered_has_no_registration(yard):
    """404, with the code of the service API."""
    reply = yard.individual().send("POST", "", json={"registrationId": "dev-1"})

    assert (reply.status_code, reply.json()["errorCode"]) == (404, 404202)


def test_an_operation_of_somebody_else_is_404(yard):
    """As is one that there never was."""
    first, second = yard.individual("dev-1"), yard.individual("dev-2")
    operation_id = first.put().json()["operationId"]

    assert second.poll(operation_id).status_code == 404
    assert first.poll("5.0.0").status_code == 404


@pytest.mark.parametrize("version", ["2019-03-31", "2021-06-01", "2021-10-01"])
def test_a_known_api_version_is_taken(yard, version):
    """Those that Microsoft's device SDKs send."""
    known = yard.individual()

    reply = Device(dps=yard.dps, id="dev-1", key=known.key, api_version=version).put()

    assert reply.status_code == 202


@pytest.mark.parametrize("version", ["2018-04-01", ""])
def test_an_unknown_api_version_is_400(yard, version):
    """Even one that the service API knows."""
    known = yard.individual()

    reply = Device(dps=yard.dps, id="dev-1", key=known.key, api_version=version).put()

    assert (reply.status_code, list(reply.json())) == (400, ["Message", "ExceptionMessage"])


def test_the_request_of_the_documentation_is_taken(yard):
    """Its curl sends a Content-Encoding that is none."""
    headers = {"Content-Type": "application/json", "Content-Encoding": "utf-8"}
    body = {"registrationId": "dev-1"}

    reply = yard.individual().send("PUT", "/register", json=body, headers=headers)

    assert reply.status_code == 202


@pytest.mark.parametrize(
    "body", [{"registrationId": "dev-2"}, {"registrationId": 1}, {"registrationId": None}]
)
def test_another_id_in_the_body_is_400(yard, body):
    """It must be that of the path."""
    reply = yard.individual().send("PUT", "/register", json=body)

    assert (reply.status_code, reply.json()["message"]) == (400, "Invalid RegistrationId")


@pytest.mark.parametrize("content", ["", "{}"])
def test_the_body_may_leave_out_the_id(yard, content):
    """The path has it."""
    reply = yard.individual().send(
        "PUT", "/register", content=content, headers={"Content-Type": "application/json"}
    )

    assert reply.status_code == 202


def test_a_refusal_is_numbered_as_well(yard):
    """So that whoever is refused can ask why."""
    assert "x-ms-request-id" in Device(dps=yard.dps, id="dev-1").put().headers


def test_the_service_api_s_paths_are_its_own(yard):
    """An enrollment may be called `registrations`."""
    yard.individual("registrations")

    reply = yard.owner.post("/enrollments/registrations/attestationmechanism")

    assert reply.status_code == 200


def test_registering_has_a_quota_of_its_own(yard):
    """The owner's calls do not use it up, nor do polls."""
    device = yard.individual()
    yard.owner.put("/_throttle", json={"operationsPerMinute": 1})
    statuses = [yard.owner.get("/enrollments/dev-1").status_code for _ in range(2)]

    operation_id = device.put().json()["operationId"]
    polled = device.finish(operation_id)
    second = device.put()

    assert statuses == [200, 429]
    assert polled["status"] == "assigned"
    assert (second.status_code, second.json()["errorCode"]) == (429, 429001)


def test_faults_strike_devices_as_well(yard):
    """By the path they call."""
    device = yard.individual()
    yard.owner.put(
        "/_faults", json=[{"match": {"path": "/register$"}, "times": 1, "do": {"status": 503}}]
    )

    assert [device.put().status_code for _ in range(2)] == [503, 202]


def test_a_registration_under_way_is_seen_by_all(yard_with, webhook):
    """By the device that polls and by the owner that looks."""
    webhook.will(status(503))
    yard = yard_with(retry_scale=1000)
    device = yard.individual(**custom(webhook.url))

    reply = device.poll(device.put().json()["operationId"])

    assert (reply.status_code, reply.headers["Retry-After"]) == (202, "0")
    assert reply.json()["status"] == "assigning"
    assert reply.json()["registrationState"] == {"registrationId": "dev-1", "status": "assigning"}
    assert yard.registration()["status"] == "assigning"


def test_a_second_registration_while_the_first_goes_on_is_409(yard_with, webhook):
    """With the code that the service was seen to answer."""
    webhook.will(status(503))
    device = yard_with(retry_scale=1000).individual(**custom(webhook.url))
    first = device.put()

    second = device.put()

    assert (first.status_code, second.status_code) == (202, 409)
    assert second.json()["errorCode"] == 409203


def test_reset_ends_what_is_under_way(yard_with, webhook):
    """Operation and devices are forgotten, and the device may come again."""
    webhook.will(status(503))
    yard = yard_with(retry_scale=1000)
    yard.individual("dev-2").register()
    device = yard.individual(**custom(webhook.url))
    operation_id = device.put().json()["operationId"]

    yard.owner.post("/_reset")

    again = yard.individual()
    assert yard.landed() == []
    assert again.poll(operation_id).status_code == 404
    assert again.register()["status"] == "assigned"
