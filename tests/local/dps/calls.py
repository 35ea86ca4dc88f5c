"""Documents and signed clients, as the tests of the stand-in need them."""

import base64
import hashlib
import hmac
import ssl
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from local.dps import AccessPolicy, DpsStandIn, Options
from tests.secret_factory import endorsement_key, symmetric_key

OWNER = Options().policies[0]
# Loading the authorities of the world for every http client would cost most of the tests' time.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
API_VERSION = {"api-version": "2021-10-01"}


class Clock:
    """A clock that is set by hand; it starts at a time of the recordings."""

    def __init__(self) -> None:
        self.now = 1_683_664_283_666_106_600

    def __call__(self) -> int:
        """Nanoseconds since 1970."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self.now += round(seconds * 10_000_000) * 100


def signature(resource: str, *, key: str, name: str | None, expiry: int) -> str:
    """A shared access signature, written down from the documentation, not from the stand-in."""
    encoded = quote(resource, safe="")
    digest = hmac.digest(base64.b64decode(key), f"{encoded}\n{expiry}".encode(), hashlib.sha256)
    sig = quote(base64.b64encode(digest), safe="")
    skn = f"&skn={name}" if name else ""
    return f"SharedAccessSignature sr={encoded}&sig={sig}&se={expiry}{skn}"


def signed_client(
    dps: DpsStandIn, *, policy: AccessPolicy = OWNER, now: float | None = None
) -> httpx.Client:
    """An HTTP client with a good signature and the current api-version."""
    expiry = int(time.time() if now is None else now) + 3600
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
    """What the tests need to know of enrollments and of groups."""

    path: str
    id_member: str
    missing: int
    exists: int
    item_type: str
    certificates: str

    def document(self, id_: str = "rec-1", **members: Any) -> dict[str, Any]:
        """A document with fresh symmetric keys."""
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
    """An individual enrollment attested by a TPM."""
    attestation = {"type": "tpm", "tpm": {"endorsementKey": endorsement_key()}}
    return {"registrationId": id_, "attestation": attestation}
