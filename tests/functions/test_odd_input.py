"""Odd input that DPS takes: taken, and passed on as it is."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.secret_factory import certificate

SYMMETRIC = {"type": "symmetricKey"}


def enrollment(**members: Any) -> dict[str, Any]:
    """A sound enrollment, but for the members given."""
    return {"registrationId": "dev-1", "attestation": SYMMETRIC, **members}


ACCEPTED = {
    "colon and inner dots": enrollment(registrationId="a:b..c"),
    "upper case": enrollment(registrationId="DEV-1"),
    "certificate of another name": enrollment(
        attestation={
            "type": "x509",
            "x509": {"clientCertificates": {"primary": {"certificate": certificate("other")}}},
        }
    ),
    "static without hubs": enrollment(allocationPolicy="static"),
}


@pytest.mark.parametrize("document", ACCEPTED.values(), ids=ACCEPTED)
def test_document_that_dps_takes_is_taken(app: httpx.Client, document: dict[str, Any]):
    """What DPS accepts, however odd, is accepted."""
    reply = app.put(f"/enrollments/{quote(document['registrationId'], safe='')}", json=document)

    assert reply.status_code == 200


@pytest.mark.parametrize(("name", "warned"), [("dev-1", False), ("DEV-1", False), ("other", True)])
def test_certificate_of_another_name_is_warned_of(app: httpx.Client, name: str, warned: bool):
    """DPS takes a certificate that names another device; the app says that none can register with it."""
    certificates = {"primary": {"certificate": certificate(name)}}
    x509 = {"type": "x509", "x509": {"clientCertificates": certificates}}

    reply = app.put("/enrollments/dev-1", json=enrollment(attestation=x509))

    assert reply.status_code == 200
    assert ("primary" in reply.headers.get("warning", "")) is warned


def test_lone_surrogate_survives(app: httpx.Client):
    """JSON may hold half a character; a twin with one is written, read and found all the same."""
    body = b'{"registrationId": "dev-1", "attestation": {"type": "none"}, "x": "\\ud800"}'

    headers = {"Content-Type": "application/json"}
    written = app.put("/enrollments/dev-1", content=body, headers=headers)
    found = app.post("/enrollments/query", json={"query": "*"})

    assert written.status_code == 200
    assert b'"\\ud800"' in app.get("/enrollments/dev-1").content
    assert len(found.json()) == 1
