"""The attestation of a record: what is accepted, what is kept, what is shown."""

import base64
import binascii
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from local.dps.certificates import certificate_details
from local.dps.errors import Refused
from local.dps.records import Kind
from local.dps.rules import GENERATED_KEY_BYTES, INVALID, KEY_BYTES

Members = Mapping[str, Any]

DETAILS = ("tpm", "x509", "symmetricKey")
_SLOTS = ("primary", "secondary")


def accept(kind: Kind, given: Any, stored: Members, *, keep_keys: bool) -> dict[str, Any]:
    """The attestation to keep; `stored` is that of the record being replaced, or empty."""
    if not isinstance(given, dict):
        raise Refused(INVALID, "The attestation is required")
    type_ = given.get("type")
    if not isinstance(type_, str) or type_ not in kind.attestations:
        raise Refused(INVALID, "Invalid attestation type")
    if any(given.get(detail) is not None for detail in DETAILS if detail != type_):
        raise Refused(INVALID, "Only one attestation can be given")
    rest = {name: value for name, value in given.items() if name not in DETAILS}
    if type_ == "none":
        return rest
    before = stored.get(type_) or {}
    detail = given.get(type_)
    if type_ == "symmetricKey":
        return rest | {
            type_: _symmetric_key({} if detail is None else detail, before if keep_keys else {})
        }
    return rest | {type_: _ACCEPT[type_](kind, detail, before)}


def shown(attestation: Members, *, with_keys: bool = False) -> Members:
    """What is answered: never a certificate, its details only (R).

    GET and query show no symmetric keys, but a TPM's endorsement key (R).
    """
    names = [name for name in attestation if with_keys or name != "symmetricKey"]
    return {name: _SHOWN.get(name, _as_it_is)(attestation[name]) for name in names}


def _as_it_is(detail: Any) -> Any:
    return detail


def _without_certificates(detail: Members) -> Members:
    (name, slots) = next(iter(detail.items()))
    if name == "caReferences":
        return detail
    return {name: {slot: {"info": kept["info"]} for slot, kept in slots.items()}}


def _symmetric_key(given: Any, stored: Members) -> dict[str, Any]:
    """Keys that are null (R), "" (M) or absent (E) are made; ?: so is one beside the other."""
    if not isinstance(given, dict):
        raise Refused(INVALID, "Invalid symmetric key")
    keys = {
        name: _key(given.get(name), stored.get(name)) for name in ("primaryKey", "secondaryKey")
    }
    others = {n: v for n, v in given.items() if n not in keys and v is not None}
    return keys | others


def _key(given: Any, stored: str | None) -> str:
    if given is None or given == "":
        return stored or base64.b64encode(secrets.token_bytes(GENERATED_KEY_BYTES)).decode()
    if not isinstance(given, str) or _decoded_length(given) not in KEY_BYTES:
        raise Refused(INVALID, "Invalid symmetric key: base64 of 16 to 64 bytes is required")
    return given


def _decoded_length(key: str) -> int:
    try:
        return len(base64.b64decode(key, validate=True))
    except (binascii.Error, ValueError):
        return 0


def _tpm(_: Kind, given: Any, __: Members) -> dict[str, Any]:
    if not isinstance(given, dict) or not _is_text(given.get("endorsementKey")):
        raise Refused(INVALID, "The endorsementKey of a TPM is required")
    return {name: value for name, value in given.items() if value is not None}


def _x509(kind: Kind, given: Any, stored: Members) -> dict[str, Any]:
    """Exactly one kind of certificates (M: the Java SDK's X509Attestation)."""
    present = {n: v for n, v in given.items() if v is not None} if isinstance(given, dict) else {}
    if len(present) != 1 or not present.keys() <= kind.certificates:
        wanted = " or ".join(sorted(kind.certificates))
        raise Refused(INVALID, f"An X.509 attestation needs {wanted}")
    (name, pair) = present.popitem()
    given_slots = {s: pair[s] for s in _SLOTS if pair.get(s)} if isinstance(pair, dict) else {}
    if not given_slots:
        raise Refused(INVALID, f"The {name} are empty")
    read = _ca_reference if name == "caReferences" else _certificate
    known = [slot for slot in stored.get(name, {}).values() if isinstance(slot, dict)]
    return {name: {slot: read(value, known) for slot, value in given_slots.items()}}


def _ca_reference(given: Any, _: Sequence[Members]) -> str:
    """?: any name is taken, for the stand-in has no uploaded authorities."""
    if not _is_text(given):
        raise Refused(INVALID, "Invalid CA reference")
    return str(given)


def _certificate(given: Any, known: Sequence[Members]) -> Members:
    """R: `info` is what is told of a certificate; devices are recognized by the certificate itself.

    M: an update may give back just the info (the CLI does); ?: without a certificate it is refused.
    """
    certificate = given.get("certificate") if isinstance(given, dict) else None
    if certificate:
        return {"info": _details(certificate), "certificate": str(certificate)}
    shown = given.get("info") if isinstance(given, dict) else None
    thumbprint = shown.get("sha256Thumbprint") if isinstance(shown, dict) else None
    for slot in known:
        if slot["info"]["sha256Thumbprint"] == thumbprint:
            return slot
    raise Refused(INVALID, "A certificate is required")


def _details(certificate: Any) -> dict[str, str | int]:
    try:
        return certificate_details(str(certificate))
    except ValueError as error:
        raise Refused(INVALID, "Invalid certificate") from error


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


_SHOWN: Mapping[str, Callable[[Any], Any]] = {"x509": _without_certificates}
_ACCEPT: Mapping[str, Callable[[Kind, Any, Members], dict[str, Any]]] = {
    "tpm": _tpm,
    "x509": _x509,
}
