"""The attestation of an enrollment or group: validation, storage and display."""

import base64
import binascii
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from local.dps.certificates import certificate_info
from local.dps.errors import INVALID_REQUEST, ApiError
from local.dps.records import Kind

Members = Mapping[str, Any]

KEY_BYTES: Final = range(16, 65)  # documented
GENERATED_KEY_BYTES: Final = 64  # documented

_TYPES_WITH_DETAILS = ("tpm", "x509", "symmetricKey")
_SLOTS = ("primary", "secondary")


def accept_attestation(kind: Kind, sent: Any, stored: Members, *, keep_keys: bool) -> Members:
    """
    Returns the attestation to store; `stored` is that of the record to replace, or empty.

    Raises ApiError 400 if `sent` is invalid. `keep_keys` keeps stored keys that were not sent.
    """
    if not isinstance(sent, dict):
        raise ApiError(INVALID_REQUEST, "The attestation is required")
    type_ = sent.get("type")
    if not isinstance(type_, str) or type_ not in kind.attestations:
        raise ApiError(INVALID_REQUEST, "Invalid attestation type")
    if any(sent.get(other) is not None for other in _TYPES_WITH_DETAILS if other != type_):
        raise ApiError(INVALID_REQUEST, "Only one attestation can be given")
    rest = {name: value for name, value in sent.items() if name not in _TYPES_WITH_DETAILS}
    if type_ == "none":
        return rest
    details = sent.get(type_)
    stored_details = stored.get(type_) or {}
    if type_ == "symmetricKey":
        stored_details = stored_details if keep_keys else {}
    return rest | {type_: _ACCEPT[type_](kind, details, stored_details)}


def show_attestation(attestation: Members, *, with_keys: bool = False) -> Members:
    """
    Returns the attestation as it is in DPS's responses.

    Recorded: certificates appear as their `info` only. GET and query omit symmetric keys, but not
    the endorsement key of a TPM.
    """
    members = {
        name: value for name, value in attestation.items() if with_keys or name != "symmetricKey"
    }
    if "x509" in members:
        members["x509"] = _show_x509(members["x509"])
    return members


def _show_x509(details: Members) -> Members:
    (name, pair) = next(iter(details.items()))
    if name == "caReferences":
        return details
    return {name: {slot: {"info": stored["info"]} for slot, stored in pair.items()}}


def _accept_symmetric_key(_: Kind, sent: Any, stored: Members) -> Members:
    """
    Returns the keys to store, generated where none was sent or stored.

    DPS generates keys for null (recorded), "" (SDK) and missing ones (tested). Assumed: also a
    single missing one of the two.
    """
    if sent is None:
        sent = {}
    if not isinstance(sent, dict):
        raise ApiError(INVALID_REQUEST, "Invalid symmetric key")
    keys = {
        name: _accept_key(sent.get(name), stored.get(name))
        for name in ("primaryKey", "secondaryKey")
    }
    others = {name: value for name, value in sent.items() if name not in keys and value is not None}
    return keys | others


def _accept_key(sent: Any, stored: str | None) -> str:
    if sent is None or sent == "":
        return stored or base64.b64encode(secrets.token_bytes(GENERATED_KEY_BYTES)).decode()
    if not isinstance(sent, str) or _count_key_bytes(sent) not in KEY_BYTES:
        message = "Invalid symmetric key: base64 of 16 to 64 bytes is required"
        raise ApiError(INVALID_REQUEST, message)
    return sent


def _count_key_bytes(key: str) -> int:
    try:
        return len(base64.b64decode(key, validate=True))
    except (binascii.Error, ValueError):
        return 0


def _accept_tpm(_: Kind, sent: Any, __: Members) -> Members:
    if not isinstance(sent, dict) or not _is_text(sent.get("endorsementKey")):
        raise ApiError(INVALID_REQUEST, "The endorsementKey of a TPM is required")
    return {name: value for name, value in sent.items() if value is not None}


def _accept_x509(kind: Kind, sent: Any, stored: Members) -> Members:
    """Returns the certificates to store. SDK (X509Attestation in Java): of one kind only."""
    members = sent.items() if isinstance(sent, dict) else ()
    present = {name: value for name, value in members if value is not None}
    if len(present) != 1 or not present.keys() <= kind.certificates:
        allowed = " or ".join(sorted(kind.certificates))
        raise ApiError(INVALID_REQUEST, f"An X.509 attestation needs {allowed}")
    (name, pair) = present.popitem()
    slots = {s: pair[s] for s in _SLOTS if pair.get(s)} if isinstance(pair, dict) else {}
    if not slots:
        raise ApiError(INVALID_REQUEST, f"The {name} are empty")
    accept = _accept_ca_reference if name == "caReferences" else _accept_certificate
    known = [slot for slot in stored.get(name, {}).values() if isinstance(slot, dict)]
    return {name: {slot: accept(value, known) for slot, value in slots.items()}}


def _accept_ca_reference(sent: Any, _: Sequence[Members]) -> str:
    """Returns the name. Assumed: a certificate of this name may be uploaded later."""
    if not _is_text(sent):
        raise ApiError(INVALID_REQUEST, "Invalid CA reference")
    return str(sent)


def _accept_certificate(sent: Any, known: Sequence[Members]) -> Members:
    """
    Returns the certificate with its `info`.

    SDK: an update may send back the `info` alone, as the CLI does; it then refers to the stored
    certificate. Assumed: an `info` that matches no stored certificate is rejected.
    """
    slot = sent if isinstance(sent, dict) else {}
    certificate, info = slot.get("certificate"), slot.get("info")
    if certificate:
        return {"info": _read_info(str(certificate)), "certificate": str(certificate)}
    thumbprint = info.get("sha256Thumbprint") if isinstance(info, dict) else None
    for stored in known:
        if stored["info"]["sha256Thumbprint"] == thumbprint:
            return stored
    raise ApiError(INVALID_REQUEST, "A certificate is required")


def _read_info(certificate: str) -> dict[str, str | int]:
    try:
        return certificate_info(certificate)
    except ValueError as error:
        # Reported: azure-docs#6886, iotedge#2738. Assumed: whatever is wrong with the text.
        message = "The certificate is not a valid base64 string value"
        raise ApiError(INVALID_REQUEST, message) from error


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


_ACCEPT: Mapping[str, Callable[[Kind, Any, Members], Members]] = {
    "symmetricKey": _accept_symmetric_key,
    "tpm": _accept_tpm,
    "x509": _accept_x509,
}
