"""Clients of the service API and documents of records."""

import base64
import hashlib
import hmac
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from local.dps import AccessPolicy, DpsStandIn, Options
from tests.secret_factory import endorsement_key, symmetric_key

# Starts a stand-in with the given options.
StartDps = Callable[..., tuple[DpsStandIn, httpx.Client]]

OWNER = Options().policies[0]
# Loading the CA certificates for each http client would take most of the time of the tests.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
API_VERSION = {"api-version": "2021-10-01"}


class Clock:
    """A clock that tests advance; it starts at a time from the recordings."""

    def __init__(self) -> None:
        self.now = 1_683_664_283_666_106_600

    def __call__(self) -> int:
        """Returns the Unix time in nanoseconds."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Advances the clock."""
        self.now += round(seconds * 10_000_000) * 100


def signature(resource: str, *, key: str, name: str | None, expiry: int) -> str:
    """Returns a shared access signature, written from the documentation, not from the stand-in."""
    encoded = quote(resource, safe="")
    digest = hmac.digest(base64.b64decode(key), f"{encoded}\n{expiry}".encode(), hashlib.sha256)
    sig = quote(base64.b64encode(digest), safe="")
    skn = f"&skn={name}" if name else ""
    return f"SharedAccessSignature sr={encoded}&sig={sig}&se={expiry}{skn}"


def signed_client(dps: DpsStandIn, *, policy: AccessPolicy = OWNER) -> httpx.Client:
    """Returns an HTTP client that sends a valid signature and the current api-version."""
    expiry = dps.options.clock() // 1_000_000_000 + 3600
    resource = dps.url.removeprefix("http://")
    header = signature(resource, key=policy.primary_key, name=policy.name, expiry=expiry)
    return httpx.Client(
        base_url=dps.url,
        headers={"Authorization": header},
        params=API_VERSION,
        timeout=20,
        verify=NO_TLS,
    )


@dataclass(frozen=True)
class Kind:
    """The differences between enrollments and groups."""

    path: str
    id_member: str
    missing: int
    exists: int
    item_type: str
    certificates: str

    def document(self, id_: Any = "rec-1", **members: Any) -> dict[str, Any]:
        """Returns a document with new symmetric keys."""
        keys = {"primaryKey": symmetric_key(), "secondaryKey": symmetric_key()}
        attestation = {"type": "symmetricKey", "symmetricKey": keys}
        return {self.id_member: id_, "attestation": attestation} | members


ENROLLMENT = Kind(
    "enrollments", "registrationId", 404201, 409201, "Enrollment", "clientCertificates"
)
GROUP = Kind(
    "enrollmentGroups",
    "enrollmentGroupId",
    404204,
    409202,
    "EnrollmentGroup",
    "signingCertificates",
)


def tpm_document(id_: str = "tpm-1") -> dict[str, Any]:
    """Returns an individual enrollment with TPM attestation."""
    attestation = {"type": "tpm", "tpm": {"endorsementKey": endorsement_key()}}
    return {"registrationId": id_, "attestation": attestation}
