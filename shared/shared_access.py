"""
Shared access signatures, and SAS mode: their verification with the app's own policies.

Format and rules: docs page "Control access to DPS with shared access signatures"
(learn.microsoft.com/azure/iot-dps/how-to-control-access), and `SharedAccessSignature` of
azure-iot-sdk-csharp.
"""

import base64
import binascii
import hashlib
import hmac
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from shared.errors import RightMissingError, UnauthorizedError
from shared.settings import Right, SharedAccessPolicy

_SCHEME = "sharedaccesssignature"
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

    def is_in_time(self, now: float) -> bool:
        """Returns whether it expired less than five minutes before `now`, in seconds."""
        is_number = re.fullmatch(r"[0-9]{1,19}", self.expiry)
        return is_number is not None and int(self.expiry) + CLOCK_SKEW_SECONDS >= int(now)


def read_signature(header: str | None) -> Signature | None:
    """Returns the signature in an Authorization header, or None if it holds anything else."""
    scheme, *credentials = (header or "").split() or [""]
    if scheme.lower() != _SCHEME or len(credentials) != 1:
        return None
    fields = _parse_fields(credentials[0])
    if not {"sr", "sig", "se"} <= fields.keys():
        return None
    return Signature(
        resource=unquote(fields["sr"]),
        key_name=unquote(fields["skn"]) if fields.get("skn") else None,
        expiry=fields["se"],
        # As received: decoding and encoding it again may change the case of an escape.
        # A host may pass on bytes that are not UTF-8 as surrogates; no key has signed those.
        signed_text=f"{fields['sr']}\n{fields['se']}".encode(errors="surrogatepass"),
        digest=_decode_base64(unquote(fields["sig"])),
    )


def digest(key: str, text: bytes) -> bytes:
    """Returns the HMAC-SHA256 of `text` with a base64 key."""
    return hmac.digest(_decode_base64(key), text, hashlib.sha256)


def _parse_fields(credential: str) -> dict[str, str]:
    pairs = (field.partition("=") for field in credential.split("&"))
    return {name.strip().lower(): value for name, _, value in pairs}


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


class AccessControl:
    """
    The check of signatures in SAS mode, with policies and host names of the app.

    Without policies no signature is valid. Host names are compared without their port.
    """

    def __init__(
        self,
        policies: Sequence[SharedAccessPolicy],
        hosts: Iterable[str],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._policies = policies
        self._hosts = {urlsplit(f"//{host}").hostname for host in hosts if host}
        self._clock = clock

    def authorize(self, header: str | None, *, path: str, right: Right) -> str:
        """
        Returns the name of the policy whose key signed for `path`, a URL's path.

        Raises `UnauthorizedError` without a valid signature, and `RightMissingError` if the policy
        does not have the right.
        """
        signature = read_signature(header)
        policy = self._find_policy(signature) if signature else None
        if signature is None or policy is None or not self._covers(signature.resource, path):
            raise UnauthorizedError
        if right not in policy.rights:
            raise RightMissingError(f"The shared access policy lacks the right {right}.")
        return policy.key_name

    def _find_policy(self, signature: Signature) -> SharedAccessPolicy | None:
        if not signature.is_in_time(self._clock()):
            return None
        for policy in self._policies:
            is_named = signature.key_name in (None, policy.key_name)
            if is_named and signature.is_signed_by(policy.keys):
                return policy
        return None

    def _covers(self, resource: str, path: str) -> bool:
        """
        Returns whether the resource is one of the hosts, and its path a prefix of `path`.

        The prefix is compared "by segment and not by character" (docs page), ignoring case. The
        Python SDK signs its endpoint as configured, with `http://` or a path.
        """
        try:
            parts = urlsplit(resource if "//" in resource else f"//{resource}")
            host = parts.hostname
        except ValueError:
            return False
        if host not in self._hosts or parts.query or parts.fragment or "@" in parts.netloc:
            return False
        prefix, segments = _segments(parts.path), _segments(path)
        return segments[: len(prefix)] == prefix and not {".", ".."} & {*prefix, *segments}


def _segments(path: str) -> list[str]:
    trimmed = path.strip("/")
    return [unquote(segment).lower() for segment in trimmed.split("/")] if trimmed else []
