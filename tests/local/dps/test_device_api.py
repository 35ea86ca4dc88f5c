"""The device API over HTTP: paths, headers, bodies, versions and quota."""

import uuid
from typing import Any

import pytest

from tests.local.dps.calls import Clock
from tests.local.dps.devices import SCOPE, Device, Fleet, StartFleet, Webhook, custom, status


def test_register_response_is_that_recorded(fleet: Fleet) -> None:
    """The response is 202 with operation id, status and the recorded headers."""
    response = fleet.enroll().put()

    assert response.status_code == 202
    assert list(response.json()) == ["operationId", "status"]
    assert response.json()["status"] == "assigning"
    assert response.headers["Location"] == f"{fleet.dps.url}/{SCOPE}/registrations/dev-1/register"
    request_id = response.headers["x-ms-request-id"]
    assert str(uuid.UUID(request_id)) == request_id
    assert set(response.headers) == {
        "content-type",
        "date",
        "location",
        "retry-after",
        "strict-transport-security",
        "transfer-encoding",
        "x-ms-request-id",
    }


def test_operation_id_has_the_recorded_form(fleet: Fleet) -> None:
    """An operation id has a digit, sixteen hexadecimal digits and a UUID."""
    operation_id = fleet.enroll().put().json()["operationId"]

    first, second, third = operation_id.split(".")
    assert (first, len(second), str(uuid.UUID(third))) == ("5", 16, third)


def test_retry_after_is_an_option(start_fleet: StartFleet) -> None:
    """Retry-After has the configured seconds."""
    fleet = start_fleet(retry_after_seconds=3)

    assert fleet.enroll().put().headers["Retry-After"] == "3"


def test_status_of_an_assigned_device_is_that_recorded(fleet: Fleet) -> None:
    """The members are in the recorded order; there is no Retry-After."""
    device = fleet.enroll()
    operation_id = device.put().json()["operationId"]
    device.finish(operation_id)

    response = device.poll(operation_id)

    assert list(response.json()) == ["operationId", "status", "registrationState"]
    assert (response.status_code, response.json()["status"]) == (200, "assigned")
    assert list(response.json()["registrationState"]) == [
        "registrationId",
        "createdDateTimeUtc",
        "assignedHub",
        "deviceId",
        "status",
        "substatus",
        "lastUpdatedDateTimeUtc",
        "etag",
    ]
    assert "Retry-After" not in response.headers


def test_service_api_shows_the_same_state(fleet: Fleet) -> None:
    """The state is shown by id and with the enrollment."""
    state = fleet.enroll().register()

    assert fleet.registration() == state
    assert fleet.client.get("/enrollments/dev-1").json()["registrationState"] == state


def test_device_can_read_its_registration(fleet: Fleet) -> None:
    """A POST to the registration returns the state."""
    device = fleet.enroll()
    state = device.register()

    response = device.send("POST", "", json={"registrationId": "dev-1"})

    assert (response.status_code, response.json()) == (200, state)


def test_device_that_never_registered_has_no_registration(fleet: Fleet) -> None:
    """The response is 404, with the code of the service API."""
    response = fleet.enroll().send("POST", "", json={"registrationId": "dev-1"})

    assert (response.status_code, response.json()["errorCode"]) == (404, 404202)


def test_operation_of_another_device_is_404(fleet: Fleet) -> None:
    """The response is the same as for an unknown operation."""
    first, second = fleet.enroll("dev-1"), fleet.enroll("dev-2")
    operation_id = first.put().json()["operationId"]

    assert second.poll(operation_id).status_code == 404
    assert first.poll("5.0.0").status_code == 404


@pytest.mark.parametrize(
    "version",
    [
        "2017-11-15",
        "2018-09-01-preview",
        "2018-11-01",
        "2019-03-31",
        "2021-06-01",
        "2021-10-01",
    ],
)
def test_known_api_version_is_accepted(fleet: Fleet, version: str) -> None:
    """A device can register with any version that Microsoft's device SDKs send or sent."""
    key = fleet.enroll().key

    state = fleet.device(key=key, api_version=version).register()

    assert state["status"] == "assigned"


@pytest.mark.parametrize("version", ["2018-04-01", ""])
def test_unknown_api_version_is_400(fleet: Fleet, version: str) -> None:
    """Even a version of the service API is unknown to the device API."""
    key = fleet.enroll().key

    response = fleet.device(key=key, api_version=version).put()

    assert (response.status_code, list(response.json())) == (400, ["Message", "ExceptionMessage"])


def test_content_encoding_utf_8_is_accepted(fleet: Fleet) -> None:
    """The curl example in the documentation sends it."""
    headers = {"Content-Type": "application/json", "Content-Encoding": "utf-8"}
    body = {"registrationId": "dev-1"}

    response = fleet.enroll().send("PUT", "/register", json=body, headers=headers)

    assert response.status_code == 202


@pytest.mark.parametrize(
    "body", [{"registrationId": "dev-2"}, {"registrationId": 1}, {"registrationId": None}]
)
def test_id_in_the_body_other_than_in_the_path_is_400(fleet: Fleet, body: dict[str, Any]) -> None:
    """An id that is not a string is an error too."""
    response = fleet.enroll().send("PUT", "/register", json=body)

    assert (response.status_code, response.json()["message"]) == (400, "Invalid RegistrationId")


@pytest.mark.parametrize("content", ["", "{}"])
def test_body_may_omit_the_id(fleet: Fleet, content: str) -> None:
    """The id in the path is enough."""
    response = fleet.enroll().send(
        "PUT", "/register", content=content, headers={"Content-Type": "application/json"}
    )

    assert response.status_code == 202


def test_error_has_a_request_id(fleet: Fleet) -> None:
    """Errors have an x-ms-request-id like any response of the device API."""
    assert "x-ms-request-id" in fleet.device().put().headers


def test_service_api_takes_precedence_for_an_enrollment_called_registrations(fleet: Fleet) -> None:
    """The path of that enrollment also matches one of the device API."""
    fleet.enroll("registrations")

    response = fleet.client.post("/enrollments/registrations/attestationmechanism")

    assert response.status_code == 200


def test_registrations_have_a_quota_of_their_own(fleet: Fleet) -> None:
    """Calls of the service API do not count."""
    device = fleet.enroll()
    fleet.client.put("/_throttle", json={"operationsPerMinute": 1})
    statuses = [fleet.client.get("/enrollments/dev-1").status_code for _ in range(2)]

    operation_id = device.put().json()["operationId"]
    polled = device.finish(operation_id)
    second = device.put()

    assert statuses == [200, 429]
    assert polled["status"] == "assigned"
    assert (second.status_code, second.json()["errorCode"]) == (429, 429001)


def finished(device: Device) -> str:
    """Registers the device and returns the id of the operation when it is finished."""
    operation_id = str(device.put().json()["operationId"])
    device.finish(operation_id)
    return operation_id


@pytest.fixture
def clock() -> Clock:
    """A clock at the beginning of ten seconds."""
    clock = Clock()
    clock.now -= clock.now % 10_000_000_000
    return clock


def test_sixth_poll_in_ten_seconds_is_429(start_fleet: StartFleet, clock: Clock) -> None:
    """The documented quota of 5 polls in 10 seconds; azure-iot-sdk-c#1703: it is enforced."""
    fleet = start_fleet(clock=clock)
    device = fleet.enroll()
    operation_id = finished(device)
    fleet.client.put("/_throttle", json={"operationsPerMinute": 60})
    clock.advance(3)

    polls = [device.poll(operation_id) for _ in range(100)]
    clock.advance(7)

    assert [poll.status_code for poll in polls] == [200] * 5 + [429] * 95
    assert (polls[-1].json()["errorCode"], polls[-1].headers["Retry-After"]) == (429001, "7")
    assert device.poll(operation_id).status_code == 200


def test_each_device_has_its_own_quota_of_polls(start_fleet: StartFleet, clock: Clock) -> None:
    """Neither the polls of other devices nor registrations count."""
    fleet = start_fleet(clock=clock)
    first, second = fleet.enroll("dev-1"), fleet.enroll("dev-2")
    operations = [finished(device) for device in (first, second)]
    fleet.client.put("/_throttle", json={"operationsPerMinute": 1, "retryAfter": False})

    *_, last = [first.poll(operations[0]) for _ in range(6)]

    assert (last.status_code, "Retry-After" in last.headers) == (429, False)
    assert second.poll(operations[1]).status_code == 200
    assert second.put().status_code == 202


def test_polls_are_not_limited_without_a_throttle(fleet: Fleet) -> None:
    """A hundred polls are answered."""
    device = fleet.enroll()
    operation_id = finished(device)

    assert {device.poll(operation_id).status_code for _ in range(100)} == {200}


def test_faults_apply_to_the_device_api(fleet: Fleet) -> None:
    """A fault is selected by its path."""
    device = fleet.enroll()
    fleet.client.put(
        "/_faults", json=[{"match": {"path": "/register$"}, "times": 1, "do": {"status": 503}}]
    )

    assert [device.put().status_code for _ in range(2)] == [503, 202]


def test_registration_in_progress_is_assigning(start_fleet: StartFleet, webhook: Webhook) -> None:
    """Both APIs show the status while the webhook runs."""
    webhook.answer_with(status(503))
    fleet = start_fleet(retry_scale=1000)
    device = fleet.enroll(**custom(webhook.url))

    response = device.poll(device.put().json()["operationId"])

    assert (response.status_code, response.headers["Retry-After"]) == (202, "0")
    assert response.json()["status"] == "assigning"
    assert response.json()["registrationState"] == {
        "registrationId": "dev-1",
        "status": "assigning",
    }
    assert fleet.registration()["status"] == "assigning"


def test_second_registration_while_one_is_in_progress_is_409(
    start_fleet: StartFleet, webhook: Webhook
) -> None:
    """The error has the reported code."""
    webhook.answer_with(status(503))
    device = start_fleet(retry_scale=1000).enroll(**custom(webhook.url))
    first = device.put()

    second = device.put()

    assert (first.status_code, second.status_code) == (202, 409)
    assert second.json()["errorCode"] == 409203


def test_reset_cancels_registrations_in_progress(start_fleet: StartFleet, webhook: Webhook) -> None:
    """Operations and hub devices are deleted, and the device can register again."""
    webhook.answer_with(status(503))
    fleet = start_fleet(retry_scale=1000)
    fleet.enroll("dev-2").register()
    device = fleet.enroll(**custom(webhook.url))
    operation_id = device.put().json()["operationId"]

    fleet.client.post("/_reset")

    device = fleet.enroll()
    assert fleet.hub_devices() == []
    assert device.poll(operation_id).status_code == 404
    assert device.register()["status"] == "assigned"
