"""Devices with symmetric keys: whose signature is good, and which entry lets them in."""

import time

import pytest

from tests.local.dps.calls import signature
from tests.local.dps.devices import SCOPE, Device, derive, keys
from tests.secret_factory import symmetric_key


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
def test_the_published_derived_keys_let_their_devices_in(yard, group_key, registration_id, key):
    """Group key, device and derived key as learn.microsoft.com prints them."""
    group = {"enrollmentGroupId": "group-1", "attestation": keys(group_key)}
    yard.put("/enrollmentGroups/group-1", group)

    state = Device(dps=yard.dps, id=registration_id, key=key).register()

    assert state["status"] == "assigned"


@pytest.mark.parametrize("slot", ["primaryKey", "secondaryKey"])
def test_either_key_of_an_enrollment_will_do(yard, slot):
    """The device needs to know one of the two."""
    yard.individual()
    mechanism = yard.owner.post("/enrollments/dev-1/attestationmechanism").json()

    state = Device(dps=yard.dps, id="dev-1", key=mechanism["symmetricKey"][slot]).register()

    assert state["status"] == "assigned"


@pytest.mark.parametrize("slot", ["primaryKey", "secondaryKey"])
def test_a_key_derived_from_either_key_of_a_group_will_do(yard, slot):
    """And the registration shows up among those of the group."""
    yard.member()
    mechanism = yard.owner.post("/enrollmentGroups/group-1/attestationmechanism").json()
    key = derive(mechanism["symmetricKey"][slot], "dev-2")

    Device(dps=yard.dps, id="dev-2", key=key).register()

    [state] = yard.owner.post("/registrations/group-1/query").json()
    assert (state["registrationId"], state["status"]) == ("dev-2", "assigned")


def test_a_device_is_told_its_group(yard):
    """As a member of its own view, which the service API does not show."""
    state = yard.member().register()

    assert state["symmetricKey"] == {"enrollmentGroupId": "group-1"}
    assert "symmetricKey" not in yard.registration()


def test_the_key_of_the_group_itself_is_refused(yard):
    """It must be derived, or one stolen key would be all."""
    yard.member()
    mechanism = yard.owner.post("/enrollmentGroups/group-1/attestationmechanism").json()

    reply = Device(dps=yard.dps, id="dev-1", key=mechanism["symmetricKey"]["primaryKey"]).put()

    assert reply.status_code == 401


def test_a_key_derived_for_another_device_is_refused(yard):
    """Each key is for one registration id; its case matters."""
    device = yard.member("dev-1")

    replies = [Device(dps=yard.dps, id=id_, key=device.key).put() for id_ in ("dev-2", "DEV-1")]

    assert [reply.status_code for reply in replies] == [401, 401]


def test_an_individual_enrollment_beats_the_group(yard):
    """Its policies hold, and the group's key is worth nothing for its device."""
    member = yard.member(allocationPolicy="static", iotHubs=["hub-1.azure-devices.net"])
    device = yard.individual(allocationPolicy="static", iotHubs=["hub-2.azure-devices.net"])

    assert device.register()["assignedHub"] == "hub-2.azure-devices.net"
    assert member.put().status_code == 401


@pytest.mark.parametrize("kind", ["individual", "member"])
def test_a_disabled_entry_ends_disabled(yard, kind):
    """The device sees two members; the service API a record with times and etag."""
    device = getattr(yard, kind)(provisioningStatus="disabled")

    state = device.register()

    assert state == {"registrationId": "dev-1", "status": "disabled"}
    assert list(yard.registration()) == [
        "registrationId",
        "createdDateTimeUtc",
        "status",
        "lastUpdatedDateTimeUtc",
        "etag",
    ]
    assert yard.landed() == []


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
def test_a_signature_for_something_else_is_refused(yard, resource, name, expiry):
    """It is good for one device of one scope, by its name, for its time."""
    key = yard.individual().key
    header = signature(resource, key=key, name=name, expiry=expiry)

    reply = Device(dps=yard.dps, id="dev-1", headers={"Authorization": header}).put()

    assert (reply.status_code, reply.json()["errorCode"]) == (401, 401002)


@pytest.mark.parametrize(
    "header", ["", "SharedAccessSignature", "SharedAccessSignature sr=a", "Bearer x"]
)
def test_a_garbled_authorization_is_refused(yard, header):
    """Whatever stands there, or nothing."""
    yard.individual()

    reply = Device(dps=yard.dps, id="dev-1", headers={"Authorization": header}).put()

    assert reply.status_code == 401


def test_a_device_that_nobody_enrolled_is_refused(yard):
    """In the shape of every error."""
    reply = Device(dps=yard.dps, id="nobody", key=symmetric_key()).put()

    assert reply.status_code == 401
    assert list(reply.json()) == ["errorCode", "trackingId", "message", "timestampUtc"]


def test_a_foreign_id_scope_is_refused(yard):
    """Even with the right key."""
    key = yard.individual().key

    reply = Device(dps=yard.dps, id="dev-1", key=key, scope="0ne11111111").put()

    assert reply.status_code == 401


def test_an_id_is_signed_as_it_is_and_sent_encoded(yard):
    """A colon is legal in an id."""
    state = yard.individual("aa:bb").register()

    assert (state["registrationId"], state["deviceId"]) == ("aa:bb", "aa:bb")


def test_a_device_id_of_its_own_is_used(yard):
    """An enrollment may name the device otherwise than its registration."""
    state = yard.individual(deviceId="meter-7").register()

    assert (state["registrationId"], state["deviceId"]) == ("dev-1", "meter-7")


def test_an_enrollment_without_keys_lets_no_key_in(yard):
    """A TPM's enrollment has no key that could have signed."""
    tpm = {"type": "tpm", "tpm": {"endorsementKey": symmetric_key()}}
    yard.put("/enrollments/dev-1", {"registrationId": "dev-1", "attestation": tpm})

    assert Device(dps=yard.dps, id="dev-1", key=symmetric_key()).put().status_code == 401
