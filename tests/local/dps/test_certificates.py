"""Authentication of devices with certificates, over TLS."""

import socket
import time
from pathlib import Path

import httpx
import pytest

from tests.local.dps.calls import API_VERSION, OWNER, signature
from tests.local.dps.certificates import Certificate, enroll, enroll_group
from tests.local.dps.devices import Fleet


@pytest.mark.parametrize("tls12", [False, True])
def test_certificate_of_an_individual_enrollment_is_accepted(
    fleet: Fleet, tmp_path: Path, tls12: bool
) -> None:
    """TLS 1.2 and 1.3 work; the state names no group."""
    own = Certificate.create("dev-1")
    enroll(fleet, own)

    state = fleet.device(tls=own.tls(tmp_path, tls12=tls12)).register()

    assert (state["status"], state["x509"]) == ("assigned", {})


def test_issued_certificate_of_an_individual_enrollment_is_accepted(
    fleet: Fleet, tmp_path: Path
) -> None:
    """The issuer of the certificate need not be known."""
    own = Certificate.create("Root", ca=True).issue("dev-1")
    enroll(fleet, own)

    state = fleet.device(tls=own.tls(tmp_path)).register()

    assert state["status"] == "assigned"


UNKNOWN = (401, 401002, "CA certificate not found.")
MISMATCH = (401, 401002, "Signing certificate info did not match chain elements.")
INVALID = (401, 401002, "Invalid certificate.")


def error(response: httpx.Response) -> tuple[int, int, str]:
    """Returns status, code and message of an error response."""
    return response.status_code, response.json()["errorCode"], response.json()["message"]


def test_unknown_certificate_is_401(fleet: Fleet, tmp_path: Path) -> None:
    """The handshake succeeds, and the HTTP response is an error (azure-iot-sdk-c#1900)."""
    unknown = Certificate.create("dev-1")

    assert error(fleet.device(tls=unknown.tls(tmp_path)).put()) == UNKNOWN


def test_other_certificate_with_the_same_name_is_401(fleet: Fleet, tmp_path: Path) -> None:
    """The thumbprint is compared, not only the name."""
    enroll(fleet, Certificate.create("dev-1"))
    unknown = Certificate.create("dev-1")

    assert error(fleet.device(tls=unknown.tls(tmp_path)).put()) == INVALID


def test_registration_id_other_than_the_common_name_is_401(fleet: Fleet, tmp_path: Path) -> None:
    """A certificate is valid only for the device that it names."""
    own = Certificate.create("dev-2")
    enroll(fleet, own)

    assert error(fleet.device(tls=own.tls(tmp_path)).put()) == INVALID


def test_service_api_needs_no_certificate(fleet: Fleet) -> None:
    """The service API works on the same port without a certificate."""
    expiry = int(time.time()) + 60
    header = signature("127.0.0.1", key=OWNER.primary_key, name=OWNER.name, expiry=expiry)
    headers, url = {"Authorization": header}, f"{fleet.dps.tls_url}/enrollments/nobody"

    with httpx.Client(verify=False) as client:  # noqa: S501 - the certificate is self-signed
        response = client.get(url, params=API_VERSION, headers=headers)

    assert (response.status_code, response.json()["errorCode"]) == (404, 404201)


def test_certificate_is_valid_for_its_connection_only(fleet: Fleet, tmp_path: Path) -> None:
    """A later connection without a certificate is 401."""
    own = Certificate.create("dev-1")
    enroll(fleet, own)
    tls = own.tls(tmp_path)
    first = fleet.device(tls=tls).put()

    second = fleet.device().put()

    assert (first.status_code, second.status_code) == (202, 401)


@pytest.mark.parametrize("tls12", [False, True])
def test_tls_sessions_are_not_resumed(fleet: Fleet, tmp_path: Path, tls12: bool) -> None:
    """A client that resumes one does not present its certificate again."""
    tls = Certificate.create("dev-1").tls(tmp_path, tls12=tls12)
    reused, session = [], None

    for _ in range(2):
        address = ("127.0.0.1", fleet.dps.tls_port)
        with tls.wrap_socket(socket.create_connection(address, 5), session=session) as connection:
            connection.sendall(b"GET /_stats HTTP/1.1\r\nHost: dps\r\n\r\n")
            connection.recv(1)
            session = connection.session
            reused.append(connection.session_reused)

    assert reused == [False, False]


def test_expired_certificate_fails_the_handshake(fleet: Fleet, tmp_path: Path) -> None:
    """An expired certificate is rejected even if it is enrolled."""
    own = Certificate.create("dev-1", days=-1)
    enroll(fleet, own)

    with pytest.raises(httpx.TransportError):
        fleet.device(tls=own.tls(tmp_path)).put()


@pytest.mark.parametrize("tls12", [False, True])
def test_certificate_with_its_intermediate_belongs_to_the_group_of_the_root(
    fleet: Fleet, tmp_path: Path, tls12: bool
) -> None:
    """The chain is verified with TLS 1.2 and 1.3."""
    root = Certificate.create("Root", ca=True)
    factory = root.issue("Factory", ca=True)
    own = factory.issue("dev-1")
    enroll_group(fleet, root)

    tls = own.tls(tmp_path, factory, tls12=tls12)
    state = fleet.device(tls=tls).register()

    assert (state["status"], state["x509"]) == ("assigned", {"enrollmentGroupId": "group-1"})


def test_certificate_without_its_intermediate_is_401(fleet: Fleet, tmp_path: Path) -> None:
    """Without the intermediate the chain does not lead to the root."""
    root = Certificate.create("Root", ca=True)
    own = root.issue("Factory", ca=True).issue("dev-1")
    enroll_group(fleet, root)

    assert error(fleet.device(tls=own.tls(tmp_path)).put()) == UNKNOWN


@pytest.mark.parametrize("slot", ["primary", "secondary"])
def test_certificate_below_an_uploaded_authority_belongs_to_the_group(
    fleet: Fleet, tmp_path: Path, slot: str
) -> None:
    """The group refers to the uploaded certificate by name, ignoring case."""
    root = Certificate.create("Root", ca=True)
    factory = root.issue("Factory", ca=True)
    fleet.client.put("/_certificates", json={"other": factory.pem, "Root-1": root.pem})
    enroll_group(fleet, None, **{slot: "root-1"})

    tls = factory.issue("dev-1").tls(tmp_path, factory)
    state = fleet.device(tls=tls).register()

    assert (state["status"], state["x509"]) == ("assigned", {"enrollmentGroupId": "group-1"})


def test_group_accepts_an_authority_that_is_uploaded_later(fleet: Fleet, tmp_path: Path) -> None:
    """Until then, and after a reset of the certificates, it is not found."""
    root = Certificate.create("Root", ca=True)
    enroll_group(fleet, None, primary="root-1")
    device = fleet.device(tls=root.issue("dev-1").tls(tmp_path))

    before = error(device.put())
    fleet.client.put("/_certificates", json={"root-1": root.pem})
    state = device.register()
    fleet.client.put("/_certificates", json={})

    assert (before, state["status"], error(device.put())) == (UNKNOWN, "assigned", UNKNOWN)


def test_group_of_the_nearest_authority_is_chosen(fleet: Fleet, tmp_path: Path) -> None:
    """The order in which the groups were created does not matter."""
    root = Certificate.create("Root", ca=True)
    factory = root.issue("Factory", ca=True)
    own = factory.issue("dev-1")
    enroll_group(fleet, root, "root")
    enroll_group(fleet, factory, "factory")

    state = fleet.device(tls=own.tls(tmp_path, factory, root)).register()

    assert state["x509"] == {"enrollmentGroupId": "factory"}


def test_individual_enrollment_takes_precedence_over_the_group(
    fleet: Fleet, tmp_path: Path
) -> None:
    """A disabled enrollment disables the device although the group is enabled."""
    root = Certificate.create("Root", ca=True)
    own = root.issue("dev-1")
    enroll_group(fleet, root)
    enroll(fleet, own, provisioningStatus="disabled")

    state = fleet.device(tls=own.tls(tmp_path)).register()

    assert state == {"registrationId": "dev-1", "status": "disabled"}


def test_certificate_issued_by_a_device_fails_the_handshake(fleet: Fleet, tmp_path: Path) -> None:
    """A device of a group cannot add others to it."""
    root = Certificate.create("Root", ca=True)
    member = root.issue("dev-1")
    other = member.issue("dev-2")
    enroll_group(fleet, root)

    with pytest.raises(httpx.TransportError):
        fleet.device("dev-2", tls=other.tls(tmp_path, member)).put()


def test_group_with_a_certificate_that_is_not_a_ca_accepts_nobody(
    fleet: Fleet, tmp_path: Path
) -> None:
    """A certificate that is no CA must not issue certificates."""
    root = Certificate.create("Root")
    enroll_group(fleet, root)
    own = root.issue("dev-1")

    assert error(fleet.device(tls=own.tls(tmp_path)).put()) == MISMATCH


def test_issuer_with_the_same_name_is_401(fleet: Fleet, tmp_path: Path) -> None:
    """The issuer's signature is verified (the message: iotedge#2739)."""
    enroll_group(fleet, Certificate.create("Root", ca=True))
    own = Certificate.create("Root", ca=True).issue("dev-1")

    assert error(fleet.device(tls=own.tls(tmp_path)).put()) == MISMATCH


def test_chain_of_another_root_with_the_same_name_is_401(fleet: Fleet, tmp_path: Path) -> None:
    """A root that was made anew does not vouch for the devices below the old one."""
    old = Certificate.create("Root", ca=True)
    factory = old.issue("Factory", ca=True)
    enroll_group(fleet, Certificate.create("Root", ca=True))

    tls = factory.issue("dev-1").tls(tmp_path, factory, old)

    assert error(fleet.device(tls=tls).put()) == MISMATCH


def test_certificate_of_the_authority_itself_is_401(fleet: Fleet, tmp_path: Path) -> None:
    """The authority's certificate is not valid for a device."""
    root = Certificate.create("Root", ca=True)
    enroll_group(fleet, root)

    assert fleet.device("Root", tls=root.tls(tmp_path)).put().status_code == 401


def test_expired_authority_is_401(fleet: Fleet, tmp_path: Path) -> None:
    """The authority's expiry counts although the device's certificate is valid."""
    root = Certificate.create("Root", ca=True, days=-1)
    own = root.issue("dev-1")
    enroll_group(fleet, root)

    assert fleet.device(tls=own.tls(tmp_path)).put().status_code == 401


def test_unknown_certificate_does_not_affect_later_connections(
    fleet: Fleet, tmp_path: Path
) -> None:
    """This holds even for a certificate with the name of an enrolled authority."""
    unknown, root = Certificate.create("Root", ca=True), Certificate.create("Root", ca=True)
    enroll_group(fleet, root)
    rejected = fleet.device("Root", tls=unknown.tls(tmp_path)).put()

    tls = root.issue("dev-1").tls(tmp_path)
    state = fleet.device(tls=tls).register()

    assert (rejected.status_code, state["status"]) == (401, "assigned")


def test_group_updated_with_the_info_alone_accepts_its_devices(
    fleet: Fleet, tmp_path: Path
) -> None:
    """An update with a document from a GET, which has only the info, keeps the certificate."""
    root = Certificate.create("Root", ca=True)
    enroll_group(fleet, root)

    fleet.change("/enrollmentGroups/group-1", allocationPolicy="static")

    tls = root.issue("dev-1").tls(tmp_path)
    assert fleet.device(tls=tls).register()["status"] == "assigned"
