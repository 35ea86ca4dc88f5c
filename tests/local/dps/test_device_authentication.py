"""Authentication of devices with symmetric keys and TPMs."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from local.dps.derived_keys import derived_key
from tests.local.dps.calls import signature, tpm_document
from tests.local.dps.devices import SCOPE, Device, Fleet, keys
from tests.secret_factory import endorsement_key, symmetric_key


@pytest.mark.parametrize(
    ("group_key", "registration_id", "key"),
    [
        (
            "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==",
            "sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6",
            "Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc=",
        ),
        (
            "oiK77Oy7rBw8YB6IS6ukRChAw+Yq6GC61RMrPLSTiOOtdI+XDu0LmLuNm11p+qv2I+adqGUdZHm46zXAQdZoOA==",
            "breakroom499-contoso-tstrsd-007",
            "JC8F96eayuQwwz+PkE7IzjH2lIAjCUnAa61tDigBnSs=",
        ),
        (
            "oiK77Oy7rBw8YB6IS6ukRChAw+Yq6GC61RMrPLSTiOOtdI+XDu0LmLuNm11p+qv2I+adqGUdZHm46zXAQdZoOA==",
            "mainbuilding167-contoso-hpsd-088",
            "6uejA9PfkQgmYylj8Zerp3kcbeVrGZ172YLa7VSnJzg=",
        ),
    ],
)
def test_published_derived_keys_are_accepted(
    fleet: Fleet, group_key: str, registration_id: str, key: str
) -> None:
    """Group key, registration id and derived key are those on learn.microsoft.com."""
    group = {"enrollmentGroupId": "group-1", "attestation": keys(group_key)}
    fleet.put("/enrollmentGroups/group-1", group)

    state = fleet.device(registration_id, key=key).register()

    assert state["status"] == "assigned"


def test_both_keys_of_an_enrollment_are_accepted(fleet: Fleet) -> None:
    """A device can sign with either key."""
    fleet.enroll()

    states = [fleet.device(key=key).register() for key in fleet.keys_of("/enrollments/dev-1")]

    assert [state["status"] for state in states] == ["assigned", "assigned"]


@pytest.mark.parametrize("slot", [0, 1], ids=["primary", "secondary"])
def test_keys_derived_from_both_keys_of_a_group_are_accepted(fleet: Fleet, slot: int) -> None:
    """The registration belongs to the group."""
    fleet.enroll_group()
    key = derived_key(fleet.keys_of("/enrollmentGroups/group-1")[slot], "dev-2")

    fleet.device("dev-2", key=key).register()

    [state] = fleet.client.post("/registrations/group-1/query").json()
    assert (state["registrationId"], state["status"]) == ("dev-2", "assigned")


def test_device_view_contains_the_group(fleet: Fleet) -> None:
    """The service API does not show it."""
    state = fleet.enroll_group().register()

    assert state["symmetricKey"] == {"enrollmentGroupId": "group-1"}
    assert "symmetricKey" not in fleet.registration()


def test_underived_key_of_a_group_is_401(fleet: Fleet) -> None:
    """Devices must not have the key of the group."""
    fleet.enroll_group()
    group_key, _ = fleet.keys_of("/enrollmentGroups/group-1")

    response = fleet.device(key=group_key).put()

    assert response.status_code == 401


def test_key_derived_for_another_device_is_401(fleet: Fleet) -> None:
    """The case of the registration id matters."""
    device = fleet.enroll_group("dev-1")

    responses = [fleet.device(id_, key=device.key).put() for id_ in ("dev-2", "DEV-1")]

    assert [response.status_code for response in responses] == [401, 401]


def test_individual_enrollment_takes_precedence_over_the_group(fleet: Fleet) -> None:
    """The enrollment's policies apply, and the group's derived key is rejected."""
    member = fleet.enroll_group(allocationPolicy="static", iotHubs=["hub-1.azure-devices.net"])
    device = fleet.enroll(allocationPolicy="static", iotHubs=["hub-2.azure-devices.net"])

    assert device.register()["assignedHub"] == "hub-2.azure-devices.net"
    assert member.put().status_code == 401


@pytest.mark.parametrize("enroll", [Fleet.enroll, Fleet.enroll_group])
def test_disabled_enrollment_disables_the_device(
    fleet: Fleet, enroll: Callable[..., Device]
) -> None:
    """The device sees two members, the service API also times and etag."""
    state = enroll(fleet, provisioningStatus="disabled").register()

    assert state == {"registrationId": "dev-1", "status": "disabled"}
    assert list(fleet.registration()) == [
        "registrationId",
        "createdDateTimeUtc",
        "status",
        "lastUpdatedDateTimeUtc",
        "etag",
    ]
    assert fleet.hub_devices() == []


NOW = int(time.time())


@pytest.mark.parametrize(
    ("resource", "name", "expiry"),
    [
        (f"{SCOPE}/registrations/dev-2", "registration", NOW + 600),
        ("0ne11111111/registrations/dev-1", "registration", NOW + 600),
        (f"{SCOPE}/registrations/dev-1", "provisioningserviceowner", NOW + 600),
        (f"{SCOPE}/registrations/dev-1", "registration", NOW - 600),
        (f"{SCOPE}/registrations/dev", "registration", NOW + 600),
    ],
    ids=["device", "scope", "name", "expired", "prefix"],
)
def test_invalid_signature_of_a_device_is_401(
    fleet: Fleet, resource: str, name: str, expiry: int
) -> None:
    """The signature is for another device or scope, has another skn, or has expired."""
    key = fleet.enroll().key
    header = signature(resource, key=key, name=name, expiry=expiry)

    response = fleet.device(headers={"Authorization": header}).put()

    assert (response.status_code, response.json()["errorCode"]) == (401, 401002)


@pytest.mark.parametrize(
    "header", ["", "SharedAccessSignature", "SharedAccessSignature sr=a", "Bearer x"]
)
def test_invalid_authorization_of_a_device_is_401(fleet: Fleet, header: str) -> None:
    """The header is missing, incomplete, or of another scheme."""
    fleet.enroll()

    response = fleet.device(headers={"Authorization": header}).put()

    assert response.status_code == 401


def test_unknown_device_is_401(fleet: Fleet) -> None:
    """The response has an error body of DPS."""
    response = fleet.device("nobody", key=symmetric_key()).put()

    assert response.status_code == 401
    assert list(response.json()) == ["errorCode", "trackingId", "message", "timestampUtc"]


def test_unknown_id_scope_is_401(fleet: Fleet) -> None:
    """Another id scope is rejected even with a valid signature."""
    key = fleet.enroll().key

    response = fleet.device(key=key, scope="0ne11111111").put()

    assert response.status_code == 401


def test_registration_id_with_a_colon_is_accepted(fleet: Fleet) -> None:
    """The id is signed as it is in the path, without additional percent-encoding."""
    state = fleet.enroll("aa:bb").register()

    assert (state["registrationId"], state["deviceId"]) == ("aa:bb", "aa:bb")


def test_device_id_of_the_enrollment_is_used(fleet: Fleet) -> None:
    """The device id may differ from the registration id."""
    state = fleet.enroll(deviceId="meter-7").register()

    assert (state["registrationId"], state["deviceId"]) == ("dev-1", "meter-7")


def test_key_for_an_enrollment_without_keys_is_401(fleet: Fleet) -> None:
    """A TPM enrollment has no symmetric key."""
    tpm = {"type": "tpm", "tpm": {"endorsementKey": symmetric_key()}}
    fleet.put("/enrollments/dev-1", {"registrationId": "dev-1", "attestation": tpm})

    assert fleet.device(key=symmetric_key()).put().status_code == 401


def enroll_tpm(fleet: Fleet) -> Device:
    """Creates an enrollment with an endorsement key and returns its device."""
    document = tpm_document("tpm-1")
    fleet.put("/enrollments/tpm-1", document)
    return fleet.device("tpm-1", tpm=document["attestation"]["tpm"])


def test_enrolled_endorsement_key_is_accepted(fleet: Fleet) -> None:
    """A TPM registers without a signature, because the challenge is not implemented."""
    state = enroll_tpm(fleet).register()

    assert (state["status"], state["deviceId"]) == ("assigned", "tpm-1")


def test_responses_to_a_tpm_say_that_there_is_no_challenge(fleet: Fleet) -> None:
    """The header x-local-dps says that the key was not verified."""
    device = enroll_tpm(fleet)
    responses = [device.put()]
    operation_id = responses[0].json()["operationId"]
    device.finish(operation_id)

    responses += [
        device.poll(operation_id),
        device.send("POST", "", json={"registrationId": "tpm-1", "tpm": device.tpm}),
    ]

    assert [response.status_code for response in responses] == [202, 200, 200]
    remarks = [response.headers["x-local-dps"] for response in responses]
    assert all("challenge is not implemented" in remark for remark in remarks)


def test_responses_to_other_devices_do_not_mention_the_challenge(fleet: Fleet) -> None:
    """Only a device with a TPM receives the header."""
    assert "x-local-dps" not in fleet.enroll().put().headers


@pytest.mark.parametrize("id_", ["tpm-1", "tpm-2"])
def test_unknown_endorsement_key_fails_the_registration(fleet: Fleet, id_: str) -> None:
    """The state has the code of a missing enrollment; the response is not 401."""
    enroll_tpm(fleet)

    state = fleet.device(id_, tpm={"endorsementKey": endorsement_key()}).register()

    assert (state["status"], state["errorCode"]) == ("failed", 404201)
    assert fleet.registration(id_)["errorCode"] == 404201


def test_endorsement_key_for_an_enrollment_with_keys_fails(fleet: Fleet) -> None:
    """An enrollment with symmetric keys requires a signature."""
    fleet.enroll("tpm-1")

    state = fleet.device("tpm-1", tpm={"endorsementKey": endorsement_key()}).register()

    assert state["status"] == "failed"


def test_operation_id_alone_is_401_for_a_device_with_a_key(fleet: Fleet) -> None:
    """Only a device with a TPM may poll without a signature."""
    device = fleet.enroll()
    operation_id = device.put().json()["operationId"]

    assert fleet.device().poll(operation_id).status_code == 401


@pytest.mark.parametrize("tpm", [{}, {"endorsementKey": 1}, "key", []])
def test_tpm_without_endorsement_key_is_400(
    fleet: Fleet, tpm: str | list[Any] | dict[str, Any]
) -> None:
    """An endorsement key that is not a string is an error too."""
    response = fleet.device("tpm-1").put(tpm=tpm)

    assert (response.status_code, response.json()["errorCode"]) == (400, 400004)
