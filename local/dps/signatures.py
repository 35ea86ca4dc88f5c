"""
Shared access signatures of service API callers and of devices, and the keys that make them.

SDK: the rules are those of azure-iot-sdk-csharp's SharedAccessSignature, which serves both.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from local.dps.timestamps import SECOND

SCHEME = "sharedaccesssignature"
CLOCK_SKEW_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class Signature:
    """A shared access signature: the holder of a key grants access to `resource` until `expiry`."""

    resource: str
    key_name: str | None
    expiry: str  # Unix time in seconds; not verified to be a number
    signed_text: bytes
    digest: bytes

    def is_signed_by(self, keys: Iterable[str]) -> bool:
        """Returns whether one of these base64 keys made the signature."""
        # All keys are tried, so that the time taken does not reveal which one matched.
        matches = [hmac.compare_digest(self.digest, digest(key, self.signed_text)) for key in keys]
        return any(matches)

    def is_in_time(self, now: int) -> bool:
        """Returns whether it expired less than five minutes before `now`, in nanoseconds."""
        is_number = re.fullmatch(r"[0-9]{1,19}", self.expiry)
        return is_number is not None and int(self.expiry) + CLOCK_SKEW_SECONDS >= now // SECOND


def read_signature(header: str | None) -> Signature | None:
    """Returns the signature in an Authorization header, or None if it holds anything else."""
    scheme, *credentials = (header or "").split() or [""]
    if scheme.lower() != SCHEME or len(credentials) != 1:
        return None
    fields = _parse_fields(credentials[0])
    if not {"sr", "sig", "se"} <= fields.keys():
        return None
    return Signature(
        resource=unquote(fields["sr"]),
        key_name=unquote(fields["skn"]) if fields.get("skn") else None,
        expiry=fields["se"],
        # As received: decoding and encoding it again may change the case of an escape.
        signed_text=f"{fields['sr']}\n{fields['se']}".encode(),
        digest=_decode_base64(unquote(fields["sig"])),
    )


def digest(key: str, text: bytes) -> bytes:
    """Returns the HMAC-SHA256 of `text` with a base64 key."""
    return hmac.digest(_decode_base64(key), text, hashlib.sha256)


def derived_key(group_key: str, registration_id: str) -> str:
    """
    Returns the key of one device of a group; the case of the id matters.

    Documented: Symmetric key attestation, Group enrollments.
    """
    return base64.b64encode(digest(group_key, registration_id.encode())).decode()


def _parse_fields(credential: str) -> dict[str, str]:
    pairs = (field.partition("=") for field in credential.split("&"))
    return {name.strip().lower(): value for name, _, value in pairs}


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
