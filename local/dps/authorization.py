"""Who may do what: shared access signatures and bearer tokens."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from local.dps.errors import Refused
from local.dps.identity import Identity
from local.dps.options import AccessPolicy, Options, Right
from local.dps.rules import CLOCK_SKEW_SECONDS, FORBIDDEN, UNAUTHORIZED
from local.dps.timestamps import SECOND


@dataclass(frozen=True, kw_only=True)
class Authorization:
    """Checks the Authorization header of requests (docs: How to control access to DPS)."""

    options: Options
    identity: Identity

    def check(self, header: str | None, *, host: str, path: str, right: Right) -> None:
        """401 if the caller is nobody we know, 403 if it is one without `right` (M)."""
        scheme, *credentials = (header or "").split() or [""]
        check = self._schemes.get(scheme.lower())
        rights = check(credentials[0], host, path) if check and len(credentials) == 1 else None
        if rights is None:
            raise Refused(UNAUTHORIZED)
        if right not in rights:
            raise Refused(FORBIDDEN)

    @property
    def _schemes(self) -> Mapping[str, Callable[[str, str, str], frozenset[Right] | None]]:
        return {"sharedaccesssignature": self._signature, "bearer": self._token}

    def _token(self, token: str, _: str, __: str) -> frozenset[Right] | None:
        """?: whoever has a token may do everything, as the Data Contributor role may."""
        return frozenset(Right) if self.identity.knows(token) else None

    def _signature(self, credential: str, host: str, path: str) -> frozenset[Right] | None:
        """The rules of azure-iot-sdk-csharp's SharedAccessSignature, the class of both sides (M)."""
        fields = _fields(credential)
        policy = self._signer(fields)
        if policy is None or not self._is_in_time(fields["se"]):
            return None
        if not self._is_meant_for(unquote(fields["sr"]), host, path):
            return None
        return policy.rights

    def _signer(self, fields: Mapping[str, str]) -> AccessPolicy | None:
        """The policy with whose primary or secondary key it was signed; `skn` may be missing."""
        if not {"sr", "sig", "se"} <= fields.keys():
            return None
        signature = _decoded(unquote(fields["sig"]))
        # Signed as received: whoever decodes and encodes again may spell an escape differently.
        text = f"{fields['sr']}\n{fields['se']}".encode()
        name = unquote(fields["skn"]) if fields.get("skn") else None
        for policy in self.options.policies:
            if name in (None, policy.name) and _is_signed_by(policy, text, signature):
                return policy
        return None

    def _is_in_time(self, expiry: str) -> bool:
        now = self.options.clock() // SECOND
        is_number = re.fullmatch(r"[0-9]{1,19}", expiry)
        return is_number is not None and int(expiry) + CLOCK_SKEW_SECONDS >= now

    def _is_meant_for(self, resource: str, host: str, path: str) -> bool:
        """A prefix of host and path, without case.

        Of the host with or without its port, and of the whole URL: azure-sdk-for-python signs
        its endpoint as it was given, `http://` included.
        """
        signed = resource.lower().removeprefix("https://").removeprefix("http://")
        hosts = (host, host.rpartition(":")[0], *self.options.host_names)
        return bool(signed) and any((h + path).lower().startswith(signed) for h in hosts if h)


def _fields(credential: str) -> dict[str, str]:
    pairs = (field.partition("=") for field in credential.split("&"))
    return {name.strip().lower(): value for name, _, value in pairs}


def _is_signed_by(policy: AccessPolicy, text: bytes, signature: bytes) -> bool:
    # Both are always tried, so that time does not tell which key it was.
    matches = [
        hmac.compare_digest(signature, hmac.digest(_decoded(key), text, hashlib.sha256))
        for key in (policy.primary_key, policy.secondary_key)
    ]
    return any(matches)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
