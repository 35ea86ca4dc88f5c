"""Devices below an authority: which group is theirs, and who vouches for nobody."""

import httpx
import pytest

from tests.local.dps.authorities import enroll, enroll_group, self_signed
from tests.local.dps.devices import Device


@pytest.mark.parametrize("tls12", [False, True])
def test_a_certificate_below_an_intermediate_is_a_member_of_the_root_s_group(yard, tmp_path, tls12):
    """If the device presents the chain."""
    root = self_signed("Root", ca=True)
    factory = root.issue("Factory", ca=True)
    own = factory.issue("dev-1")
    enroll_group(yard, root)

    tls = own.connect(tmp_path, factory, tls12=tls12)
    state = Device(dps=yard.dps, id="dev-1", tls=tls).register()

    assert (state["status"], state["x509"]) == ("assigned", {"enrollmentGroupId": "group-1"})


def test_without_its_intermediate_a_certificate_is_nobody_s(yard, tmp_path):
    """Nothing then leads from the device to the root."""
    root = self_signed("Root", ca=True)
    own = root.issue("Factory", ca=True).issue("dev-1")
    enroll_group(yard, root)

    assert Device(dps=yard.dps, id="dev-1", tls=own.connect(tmp_path)).put().status_code == 401


def test_the_group_nearest_to_the_device_is_its_own(yard, tmp_path):
    """The factory's before the root's, in whichever order they were made."""
    root = self_signed("Root", ca=True)
    factory = root.issue("Factory", ca=True)
    own = factory.issue("dev-1")
    enroll_group(yard, root, "root")
    enroll_group(yard, factory, "factory")

    state = Device(dps=yard.dps, id="dev-1", tls=own.connect(tmp_path, factory, root)).register()

    assert state["x509"] == {"enrollmentGroupId": "factory"}


def test_an_individual_enrollment_beats_the_group(yard, tmp_path):
    """Disabled, it keeps its device out, whatever the group would say."""
    root = self_signed("Root", ca=True)
    own = root.issue("dev-1")
    enroll_group(yard, root)
    enroll(yard, own, provisioningStatus="disabled")

    state = Device(dps=yard.dps, id="dev-1", tls=own.connect(tmp_path)).register()

    assert state == {"registrationId": "dev-1", "status": "disabled"}


def test_a_device_that_is_no_authority_cannot_vouch_for_another(yard, tmp_path):
    """A member of a group must not let strangers in: the handshake fails over such a chain."""
    root = self_signed("Root", ca=True)
    member = root.issue("dev-1")
    stranger = member.issue("dev-2")
    enroll_group(yard, root)

    with pytest.raises(httpx.TransportError):
        Device(dps=yard.dps, id="dev-2", tls=stranger.connect(tmp_path, member)).put()


def test_a_group_of_a_certificate_that_is_no_authority_lets_nobody_in(yard, tmp_path):
    """What may not sign has not signed."""
    root = self_signed("Root")
    enroll_group(yard, root)
    own = root.issue("dev-1")

    assert Device(dps=yard.dps, id="dev-1", tls=own.connect(tmp_path)).put().status_code == 401


def test_an_authority_of_the_same_name_is_another(yard, tmp_path):
    """It is the signature that counts."""
    enroll_group(yard, self_signed("Root", ca=True))
    own = self_signed("Root", ca=True).issue("dev-1")

    assert Device(dps=yard.dps, id="dev-1", tls=own.connect(tmp_path)).put().status_code == 401


def test_the_authority_itself_is_no_device(yard, tmp_path):
    """Its certificate lets others in, not itself."""
    root = self_signed("Root", ca=True)
    enroll_group(yard, root)

    assert Device(dps=yard.dps, id="Root", tls=root.connect(tmp_path)).put().status_code == 401


def test_an_authority_whose_time_is_over_vouches_for_nobody(yard, tmp_path):
    """Though the device's own certificate is still good."""
    root = self_signed("Root", ca=True, days=-1)
    own = root.issue("dev-1")
    enroll_group(yard, root)

    assert Device(dps=yard.dps, id="dev-1", tls=own.connect(tmp_path)).put().status_code == 401


def test_what_a_stranger_presents_disturbs_nobody_else(yard, tmp_path):
    """Not even an authority of the same name as one that is enrolled."""
    stranger, root = self_signed("Root", ca=True), self_signed("Root", ca=True)
    enroll_group(yard, root)
    refused = Device(dps=yard.dps, id="Root", tls=stranger.connect(tmp_path)).put()

    tls = root.issue("dev-1").connect(tmp_path)
    state = Device(dps=yard.dps, id="dev-1", tls=tls).register()

    assert (refused.status_code, state["status"]) == (401, "assigned")


def test_the_certificate_survives_an_update_with_its_details_alone(yard, tmp_path):
    """A group given back as GET showed it still lets its devices in."""
    root = self_signed("Root", ca=True)
    enroll_group(yard, root)

    yard.change("/enrollmentGroups/group-1", allocationPolicy="static")

    tls = root.issue("dev-1").connect(tmp_path)
    assert Device(dps=yard.dps, id="dev-1", tls=tls).register()["status"] == "assigned"
