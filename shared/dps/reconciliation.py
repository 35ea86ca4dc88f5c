"""
Reconciliation: finds out whether a write with a lost response was applied, by reading the record.

A write that was applied and then repeated looks like a conflict, and a repeated delete like a
record that never existed. The stored record distinguishes these from real refusals.
"""

import asyncio
import hashlib
import re
from base64 import b64decode
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Protocol

from shared import errors
from shared.dps.context import CallContext
from shared.dps.models import BulkMode, RecordKind
from shared.dps.responses import READ_ONLY_MEMBERS, Record
from shared.error_catalog import code_for
from shared.redaction import MASK

JsonObject = Mapping[str, Any]


class RecordReader(Protocol):
    """A reader of the records of one collection."""

    async def get(self, id: str, *, context: CallContext) -> Record:
        """Returns the record; raises `DpsError`."""


class EnrollmentReader(RecordReader, Protocol):
    """A reader of enrollments or enrollment groups, with their keys."""

    kind: RecordKind

    async def get_attestation_mechanism(self, id: str, *, context: CallContext) -> Record:
        """Returns the record's attestation, with its keys; raises `DpsError`."""


# These say already that the outcome is unknown.
_UNKNOWN_OUTCOME = (
    errors.DpsFaultError,
    errors.DpsReplyLostError,
    errors.DpsTimeoutError,
    errors.OutcomeUnknownError,
)


def unresolved(error: errors.DpsError) -> errors.DpsError:
    """Returns the error for a write that failed with `error` and cannot be reconciled."""
    return error if isinstance(error, _UNKNOWN_OUTCOME) else outcome_unknown(error)


def outcome_unknown(error: errors.DpsError) -> errors.OutcomeUnknownError:
    """Returns the error for one record of a call that failed with `error`."""
    if isinstance(error, errors.OutcomeUnknownError):
        return error
    unknown = errors.OutcomeUnknownError(
        f"DPS may have applied the write before the error: {error}",
        tracking_id=error.tracking_id,
        retry_after=error.retry_after,
    )
    unknown.__cause__ = error
    return unknown


async def is_deleted(resource: RecordReader, id: str, context: CallContext) -> bool:
    """Returns whether DPS has no such record; raises the `DpsError` of a read that failed."""
    try:
        await resource.get(id, context=context)
    except errors.DpsNotFoundError:
        return True
    return False


async def find_written(
    resource: EnrollmentReader,
    id: str,
    requested: JsonObject,
    context: CallContext,
    *,
    if_match: str | None,
) -> Record | None:
    """
    Returns the stored record, as the response to its PUT, if it matches the request, else `None`.

    `if_match` is the etag that the write was to replace: a record that still has it was not
    written. Raises the `DpsError` of a read that failed.
    """
    try:
        stored = await resource.get(id, context=context)
        attestation = await resource.get_attestation_mechanism(id, context=context)
    except errors.DpsNotFoundError:
        return None
    stored.pop("registrationState", None)
    stored["attestation"] = attestation
    replaced_etag = (if_match or "").strip('"')
    is_written = stored.etag != replaced_etag and matches_request(stored, requested)
    return stored if is_written else None


async def reconcile_result(
    resource: EnrollmentReader,
    operation: JsonObject,
    failures: Iterable[JsonObject],
    context: CallContext,
) -> Record:
    """
    Returns the bulk result without those failures whose records are stored as requested.

    The failure of a record that cannot be read becomes that of an unknown outcome.
    """
    id_member = resource.kind.id_member
    documents = {doc[id_member].casefold(): doc for doc in operation[resource.kind.path]}

    async def reconcile(failure: JsonObject) -> JsonObject | None:
        document = documents[failure[id_member].casefold()]
        try:
            if operation["mode"] == BulkMode.DELETE:
                is_applied = await is_deleted(resource, document[id_member], context)
            else:
                id, etag = document[id_member], document.get("etag")
                record = await find_written(resource, id, document, context, if_match=etag)
                is_applied = record is not None
        except errors.DpsError as error:
            return {**failure, **unknown_item(error)}
        return None if is_applied else failure

    checked = await asyncio.gather(*map(reconcile, failures))
    remaining = [failure for failure in checked if failure]
    return Record(errors=remaining, isSuccessful=not remaining)


def unknown_item(error: errors.DpsError) -> dict[str, Any]:
    """Returns an error of a bulk result, without the id, for a record whose outcome is unknown."""
    unknown = outcome_unknown(error)
    tracking_id = {"trackingId": unknown.tracking_id} if unknown.tracking_id else {}
    return {"errorCode": code_for(unknown), "errorStatus": str(unknown), **tracking_id}


Rule = Callable[[Any, Any], bool]


def matches_request(stored: JsonObject, requested: JsonObject) -> bool:
    """
    Returns whether writing `requested` results in `stored`, as far as the record shows.

    A write replaces the whole record, so what it does not set must be absent. Not compared are
    members that DPS writes itself or fills with defaults, and keys that were not sent. Null equals
    an empty object, an empty list and an absent member. Ids are compared without regard to case,
    certificates by thumbprint, a masked `webhookUrl` up to its query. To compare keys, `stored`
    needs the attestation that `get_attestation_mechanism` returns.
    """
    return _RECORD(stored, requested)


def _same(stored: Any, requested: Any) -> bool:
    if isinstance(stored, Mapping) or isinstance(requested, Mapping):
        return _ANY_OBJECT(stored, requested)
    if isinstance(stored, list) and isinstance(requested, list):
        return len(stored) == len(requested) and all(map(_same, stored, requested))
    if _is_empty(stored) or _is_empty(requested):
        return _is_empty(stored) and _is_empty(requested)
    # In Python True equals 1; in JSON it does not.
    return bool(stored == requested) and isinstance(stored, bool) == isinstance(requested, bool)


def _is_empty(value: Any) -> bool:
    return value is None or value in ({}, [])


def _object(rules: Mapping[str, Rule], *, defaulted: Collection[str] = ()) -> Rule:
    """Returns a rule that compares objects by member; `defaulted` members may be absent."""

    def compare(stored: Any, requested: Any) -> bool:
        held, wanted = ({} if value is None else value for value in (stored, requested))
        if not isinstance(held, Mapping) or not isinstance(wanted, Mapping):
            return False
        return all(
            rules.get(name, _same)(held.get(name), wanted.get(name))
            for name in {*held, *wanted}
            if name not in defaulted or not _is_empty(wanted.get(name))
        )

    return compare


def _ignored(_stored: Any, _requested: Any) -> bool:
    return True


def _same_id(stored: Any, requested: Any) -> bool:
    return str(stored).casefold() == str(requested).casefold()


def _same_key(stored: Any, requested: Any) -> bool:
    return not requested or bool(stored == requested)  # DPS generates a key that is not sent


def _same_url(stored: Any, requested: Any) -> bool:
    kept, given = str(stored).partition("?"), str(requested).partition("?")
    return kept[0] == given[0] if MASK in (kept[2], given[2]) else kept == given


def _same_certificate(stored: Any, requested: Any) -> bool:
    """Compares by SHA-256 thumbprint: DPS returns a certificate's `info`, not the certificate."""
    if _is_empty(stored) or _is_empty(requested):
        return _is_empty(stored) and _is_empty(requested)
    text = requested.get("certificate")
    thumbprint = _compute_thumbprint(text) if text else _info_thumbprint(requested)
    return thumbprint is not None and thumbprint == _info_thumbprint(stored)


def _info_thumbprint(certificate: JsonObject) -> str | None:
    thumbprint = (certificate.get("info") or {}).get("sha256Thumbprint")
    return str(thumbprint).upper() if thumbprint else None


_PEM = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)


def _compute_thumbprint(text: str) -> str | None:
    """Returns the thumbprint of the first certificate in PEM, or of one in base64, else `None`."""
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
# Members with defaults in the REST reference; no recording shows whether DPS stores these.
_DEFAULTED = {"allocationPolicy", "capabilities", "provisioningStatus", "reprovisionPolicy"}
_POLICY = _object({}, defaulted={"updateHubAssignment", "migrateDeviceData", "iotEdge"})
_RECORD = _object(
    {
        "registrationId": _same_id,
        "enrollmentGroupId": _same_id,
        "attestation": _ATTESTATION,
        "capabilities": _POLICY,
        "reprovisionPolicy": _POLICY,
        "customAllocationDefinition": _object({"webhookUrl": _same_url}),
        **dict.fromkeys(READ_ONLY_MEMBERS, _ignored),
    },
    defaulted=_DEFAULTED,
)
