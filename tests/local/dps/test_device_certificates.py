"""Devices with certificates, over real TLS."""

import socket
import time

import httpx
import pytest

from tests.local.dps.authorities import enroll, self_signed
from tests.local.dps.calls import API_VERSION, OWNER, signature
from tests.local.dps.devices import Device


@pytest.mark.parametrize("tls12", [False, True])
def test_a_self_signed_certificate_is_known_by_its_thumbprint(yard, tmp_path, tls12):
    """Whichever TLS the device speaks; what it is told names no group."""
    own = self_signed("dev-1")
    enroll(yard, own)

    state = Device(dps=yard.dps, id="dev-1", tls=own.connect(tmp_path, tls12=tls12)).register()

    assert (state["status"], state["x509"]) == ("assigned", {})


def test_a_certificate_that_an_authority_signed_may_be_enrolled_alone(yard, tmp_path):
    """The authority need not be known."""
    own = self_signed("Root", ca=True).issue("dev-1")
    enroll(yard, own)

    state = Device(dps=yard.dps, id="dev-1", tls=own.connect(tmp_path)).register()

    assert state["status"] == "assigned"


def test_a_certificate_nobody_enrolled_is_401(yard, tmp_path):
    """An answer over HTTP, not a connection that breaks."""
    stranger = self_signed("dev-1")

    reply = Device(dps=yard.dps, id="dev-1", tls=stranger.connect(tmp_path)).put()

    assert (reply.status_code, reply.json()["errorCode"]) == (401, 401002)


def test_another_certificate_of_the_same_name_is_401(yard, tmp_path):
    """It is the thumbprint that counts."""
    enroll(yard, self_signed("dev-1"))
    stranger = self_signed("dev-1")

    assert Device(dps=yard.dps, id="dev-1", tls=stranger.connect(tmp_path)).put().status_code == 401


def test_the_registration_id_is_the_common_name(yard, tmp_path):
    """A good certificate is good for the device that it names."""
    own = self_signed("dev-2")
    enroll(yard, own)

    assert Device(dps=yard.dps, id="dev-1", tls=own.connect(tmp_path)).put().status_code == 401


def test_no_answer_of_the_service_api_holds_a_certificate(yard):
    """The stand-in keeps it, as DPS does, and shows the details only."""
    put = enroll(yard, self_signed("dev-1"))
    got = yard.owner.get("/enrollments/dev-1").json()
    [queried] = yard.owner.post("/enrollments/query", json={"query": "SELECT *"}).json()
    mechanism = yard.owner.post("/enrollments/dev-1/attestationmechanism").json()

    shown = [put["attestation"], got["attestation"], queried["attestation"], mechanism]
    slots = [one["x509"]["clientCertificates"]["primary"] for one in shown]
    assert [list(slot) for slot in slots] == [["info"]] * 4


def test_the_service_api_needs_no_certificate(yard):
    """On the same port as the devices."""
    expiry = int(time.time()) + 60
    header = signature("127.0.0.1", key=OWNER.primary_key, name=OWNER.name, expiry=expiry)
    headers, url = {"Authorization": header}, f"{yard.dps.tls_url}/enrollments/nobody"

    with httpx.Client(verify=False) as client:  # noqa: S501 - its certificate is new
        reply = client.get(url, params=API_VERSION, headers=headers)

    assert (reply.status_code, reply.json()["errorCode"]) == (404, 404201)


def test_connections_are_not_taken_for_one_another(yard, tmp_path):
    """One with a certificate says nothing about the next without."""
    own = self_signed("dev-1")
    enroll(yard, own)
    tls = own.connect(tmp_path)
    first = Device(dps=yard.dps, id="dev-1", tls=tls).put()

    second = Device(dps=yard.dps, id="dev-1").put()

    assert (first.status_code, second.status_code) == (202, 401)


@pytest.mark.parametrize("tls12", [False, True])
def test_no_session_is_taken_up_again(yard, tmp_path, tls12):
    """It would not present the certificate again, and the device would be nobody."""
    tls = self_signed("dev-1").connect(tmp_path, tls12=tls12)
    reused, session = [], None

    for _ in range(2):
        address = ("127.0.0.1", yard.dps.tls_port)
        with tls.wrap_socket(socket.create_connection(address, 5), session=session) as connection:
            connection.sendall(b"GET /_stats HTTP/1.1\r\nHost: dps\r\n\r\n")
            connection.recv(1)
            session = connection.session
            reused.append(connection.session_reused)

    assert reused == [False, False]


def test_a_certificate_whose_time_is_over_does_not_get_as_far_as_an_answer(yard, tmp_path):
    """The handshake fails."""
    own = self_signed("dev-1", days=-1)
    enroll(yard, own)

    with pytest.raises(httpx.TransportError):
        Device(dps=yard.dps, id="dev-1", tls=own.connect(tmp_path)).put()
