"""Shared access signatures, of those who call the service and of devices alike.

The rules of azure-iot-sdk-csharp's SharedAccessSignature, the class of both sides (M).
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from local.dps.rules import CLOCK_SKEW_SECONDS
from local.dps.timestamps import SECOND

SCHEME = "sharedaccesssignature"


@dataclass(frozen=True, kw_only=True)
class Signature:
    """What a credential claims: that the owner of a key lets the bearer use `resource` for now."""

    resource: str
    key_name: str | None
    expiry: str
    text: bytes  # what was signed
    digest: bytes

    def is_by(self, keys: Iterable[str]) -> bool:
        """Whether one of these keys, in base64, made it."""
        # All are always tried, so that time does not tell which key it was.
        matches = [hmac.compare_digest(self.digest, digest(key, self.text)) for key in keys]
        return any(matches)

    def is_in_time(self, now: int) -> bool:
        """Whether it has not expired, by five minutes' grace; `now` in nanoseconds."""
        is_number = re.fullmatch(r"[0-9]{1,19}", self.expiry)
        return is_number is not None and int(self.expiry) + CLOCK_SKEW_SECONDS >= now // SECOND


def read_signature(header: str | None) -> Signature | None:
    """The signature in an Authorization header, or None if that holds anything else."""
    scheme, *credentials = (header or "").split() or [""]
    if scheme.lower() != SCHEME or len(credentials) != 1:
        return None
    fields = _fields(credentials[0])
    if not {"sr", "sig", "se"} <= fields.keys():
        return None
    return Signature(
        resource=unquote(fields["sr"]),
        key_name=unquote(fields["skn"]) if fields.get("skn") else None,
        expiry=fields["se"],
        # Signed as received: whoever decodes and encodes again may spell an escape differently.
        text=f"{fields['sr']}\n{fields['se']}".encode(),
        digest=_decoded(unquote(fields["sig"])),
    )


def digest(key: str, text: bytes) -> bytes:
    """The HMAC-SHA256 of `text` with a key in base64."""
    return hmac.digest(_decoded(key), text, hashlib.sha256)


def derived_key(group_key: str, registration_id: str) -> str:
    """The key of one device of a group (D: Symmetric key attestation); case matters."""
    return base64.b64encode(digest(group_key, registration_id.encode())).decode()


def _fields(credential: str) -> dict[str, str]:
    pairs = (field.partition("=") for field in credential.split("&"))
    return {name.strip().lower(): value for name, _, value in pairs}


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
