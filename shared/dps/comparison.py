"""Whether a stored record is what a request asked for: how a write whose reply was lost is settled."""

import hashlib
import re
from base64 import b64decode
from collections.abc import Callable, Collection, Mapping
from typing import Any

from shared.dps.records import MASK, READ_ONLY_MEMBERS

Rule = Callable[[Any, Any], bool]


def is_as_asked(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """
    Whether writing `asked` leaves `stored`, as far as that can be told from the record.

    A write replaces the whole record, so what it does not set must not be there either. Not
    compared are members that DPS writes itself or may fill in, and keys that were not given. Nulls
    and empty objects and lists are as good as nothing. Ids are compared without case, certificates
    by thumbprint, a masked `webhookUrl` up to its query. For keys to be compared `stored` must have
    them, as `get_attestation_mechanism` gives them.
    """
    return _RECORD(stored, asked)


def _same(stored: Any, asked: Any) -> bool:
    if isinstance(stored, Mapping) or isinstance(asked, Mapping):
        return _ANY_OBJECT(stored, asked)
    if isinstance(stored, list) and isinstance(asked, list):
        return len(stored) == len(asked) and all(map(_same, stored, asked))
    if _is_nothing(stored) or _is_nothing(asked):
        return _is_nothing(stored) and _is_nothing(asked)
    # True is 1 to Python, not to JSON.
    return bool(stored == asked) and isinstance(stored, bool) == isinstance(asked, bool)


def _is_nothing(value: Any) -> bool:
    return value is None or value in ({}, [])


def _object(rules: Mapping[str, Rule], *, filled_in: Collection[str] = ()) -> Rule:
    """Compares objects member by member, each by its own rule; `filled_in` need not be asked for."""

    def compare(stored: Any, asked: Any) -> bool:
        held, wanted = ({} if value is None else value for value in (stored, asked))
        if not isinstance(held, Mapping) or not isinstance(wanted, Mapping):
            return False
        return all(
            rules.get(name, _same)(held.get(name), wanted.get(name))
            for name in {*held, *wanted}
            if name not in filled_in or not _is_nothing(wanted.get(name))
        )

    return compare


def _uncompared(_stored: Any, _asked: Any) -> bool:
    return True


def _same_id(stored: Any, asked: Any) -> bool:
    return str(stored).casefold() == str(asked).casefold()


def _same_key(stored: Any, asked: Any) -> bool:
    return not asked or bool(stored == asked)  # without a key DPS makes one


def _same_url(stored: Any, asked: Any) -> bool:
    kept, given = str(stored).partition("?"), str(asked).partition("?")
    return kept[0] == given[0] if MASK in (kept[2], given[2]) else kept == given


def _same_certificate(stored: Any, asked: Any) -> bool:
    """By SHA-256: DPS gives back what it read from a certificate, never the certificate."""
    if _is_nothing(stored) or _is_nothing(asked):
        return _is_nothing(stored) and _is_nothing(asked)
    text = asked.get("certificate")
    known = _thumbprint_of(text) if text else _thumbprint_in(asked)
    return known is not None and known == _thumbprint_in(stored)


def _thumbprint_in(certificate: Mapping[str, Any]) -> str | None:
    found = (certificate.get("info") or {}).get("sha256Thumbprint")
    return str(found).upper() if found else None


_PEM = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)


def _thumbprint_of(text: str) -> str | None:
    """Of the first certificate in a PEM text, or of one in bare base64; `None` for neither."""
    pem = _PEM.search(text)
    try:
        der = b64decode("".join((pem[1] if pem else text).split()), validate=True)
    except ValueError:
        return None
    return hashlib.sha256(der).hexdigest().upper()


_ANY_OBJECT = _object({})
_CERTIFICATES = _object({"primary": _same_certificate, "secondary": _same_certificate})
_ATTESTATION = _object(
    {
        "symmetricKey": _object({"primaryKey": _same_key, "secondaryKey": _same_key}),
        "x509": _object(
            {"clientCertificates": _CERTIFICATES, "signingCertificates": _CERTIFICATES}
        ),
    }
)
# Members whose defaults the REST reference names; no recording shows DPS filling them in.
_WITH_DEFAULTS = {"allocationPolicy", "capabilities", "provisioningStatus", "reprovisionPolicy"}
_POLICY = _object({}, filled_in={"updateHubAssignment", "migrateDeviceData", "iotEdge"})
_RECORD = _object(
    {
        "registrationId": _same_id,
        "enrollmentGroupId": _same_id,
        "attestation": _ATTESTATION,
        "capabilities": _POLICY,
        "reprovisionPolicy": _POLICY,
        "customAllocationDefinition": _object({"webhookUrl": _same_url}),
        **dict.fromkeys(READ_ONLY_MEMBERS, _uncompared),
    },
    filled_in=_WITH_DEFAULTS,
)
