"""
Reconciliation: finds out whether a write with a lost response was applied, by reading the record.

A write that was applied and then repeated looks like a conflict, and a repeated delete like a
record that never existed. The stored record distinguishes these from real refusals, unless another
writer has changed it since: then the outcome is unknown.
"""

import hashlib
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shared import errors
from shared.dps.models import BulkMode, RecordKind
from shared.dps.responses import READ_ONLY_MEMBERS, Record
from shared.error_catalog import code_for
from shared.redaction import MASK

JsonObject = Mapping[str, Any]

_STATE_REFUSALS = (
    errors.DpsNotFoundError,
    errors.DpsConflictError,
    errors.DpsPreconditionFailedError,
)
# Refusals of the request, whatever the state of the record: no attempt was applied.
_REQUEST_REFUSALS = (errors.DpsBadRequestError, errors.DpsRefusedError)
# These say already that the outcome is unknown.
_UNKNOWN_OUTCOME = (
    errors.DpsFaultError,
    errors.DpsReplyLostError,
    errors.DpsTimeoutError,
    errors.OutcomeUnknownError,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Write:
    """
    A write of one record: a PUT, or a DELETE if `document` is `None`.

    `if_match` is the etag that the record must have, with or without quotes, or `*` for any.
    """

    id: str
    document: JsonObject | None
    if_match: str | None

    @classmethod
    def of_bulk_item(cls, mode: str, document: JsonObject, kind: RecordKind) -> "Write":
        """Returns the write that a bulk operation of this mode makes for the record."""
        is_update = mode not in (BulkMode.CREATE, BulkMode.DELETE)
        return cls(
            id=str(document.get(kind.id_member)),
            document=None if mode == BulkMode.DELETE else document,
            # An update without an etag is refused (recorded by azure-sdk-for-python).
            if_match=str(document.get("etag") or "") if is_update else None,
        )

    @property
    def etag(self) -> str | None:
        """The etag without quotes."""
        return self.if_match.strip('"') if self.if_match else None

    @property
    def is_unconditional(self) -> bool:
        """Whether a repeat may overwrite or delete what another writer has written since."""
        return self.etag == "*" or (self.document is None and not self.if_match)

    @property
    def _disproof(self) -> str:
        """The member whose time, if it is before the write, shows that it was not applied."""
        # A record keeps the time of its creation through updates, not through a deletion.
        is_update = self.document is not None and self.if_match is not None
        return "lastUpdatedDateTimeUtc" if is_update else "createdDateTimeUtc"

    def find(self, stored: Record | None, is_before: Callable[[object], bool]) -> "Finding":
        """
        Returns what the record shows of the write; `stored` is `None` if there is none.

        `is_before` returns whether a time of the record was certainly before the first attempt in
        doubt.
        """
        if stored is None:
            return Finding(stored=None, is_applied=True if self.document is None else None)
        if stored.etag == self.etag or is_before(stored.get(self._disproof)):
            return Finding(stored=stored, is_applied=False)
        is_applied = self.document is not None and matches_request(stored, self.document)
        return Finding(stored=stored, is_applied=is_applied or None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What a record shows of a write; `is_applied` is `None` if another one may have followed."""

    stored: Record | None
    is_applied: bool | None


def final_error(write: Write, finding: Finding, error: errors.DpsError) -> errors.DpsError:
    """Returns the error of a write that failed with `error` and was not found to be applied."""
    if finding.is_applied is None and not isinstance(error, _REQUEST_REFUSALS):
        # An update needs a record: if there is none, it has been deleted.
        is_deleted = is_state_refusal(error) or write.is_unconditional
        if finding.stored or is_deleted:
            return _overwritten(error)
        return unresolved(error)
    # DPS may still apply an attempt to which it has not responded.
    error.in_doubt = isinstance(error, _UNKNOWN_OUTCOME)
    return error


def is_state_refusal(error: errors.DpsError) -> bool:
    """Returns whether DPS refused for the state of the record, which the write may have caused."""
    return isinstance(error, _STATE_REFUSALS)


def unresolved(error: errors.DpsError) -> errors.DpsError:
    """Returns the error for a write that failed with `error` and cannot be reconciled."""
    return error if isinstance(error, _UNKNOWN_OUTCOME) else outcome_unknown(error)


def outcome_unknown(error: errors.DpsError) -> errors.OutcomeUnknownError:
    """Returns the error for one record of a call that failed with `error`."""
    if isinstance(error, errors.OutcomeUnknownError):
        return error
    text = f"DPS may have applied the write before the error: {error}"
    return _caused_by(error, errors.OutcomeUnknownError(text))


def _overwritten(error: errors.DpsError) -> errors.OutcomeUnknownError:
    text = f"DPS may have applied the write; the record is another writer's or missing: {error}"
    return _caused_by(error, errors.OverwrittenError(text))


def _caused_by(
    error: errors.DpsError, unknown: errors.OutcomeUnknownError
) -> errors.OutcomeUnknownError:
    unknown.tracking_id, unknown.retry_after = error.tracking_id, error.retry_after
    unknown.__cause__ = error
    return unknown


def error_item(error: errors.DpsError) -> dict[str, Any]:
    """Returns an error of a bulk result, without the id."""
    tracking_id = {"trackingId": error.tracking_id} if error.tracking_id else {}
    return {"errorCode": code_for(error), "errorStatus": str(error), **tracking_id}


Rule = Callable[[Any, Any], bool]


def matches_request(stored: JsonObject, requested: JsonObject) -> bool:
    """
    Returns whether writing `requested` results in `stored`, as far as the record shows.

    A write replaces the whole record, so what it does not set must be absent, or have the default
    of the REST reference. Not compared are members that DPS writes itself, and keys that were not
    sent. Null equals an empty object, an empty list and an absent member. Ids are compared without
    regard to case, certificates by thumbprint, a masked `webhookUrl` up to its query. A member that
    this app does not know may be absent: DPS ignores those that its API version does not have. To
    compare keys, `stored` needs the attestation that `get_attestation_mechanism` returns.
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


def _object(rules: Mapping[str, Rule], other: Rule = _same) -> Rule:
    """Returns a rule that compares objects by member, those without a rule by `other`."""

    def compare(stored: Any, requested: Any) -> bool:
        held, wanted = ({} if value is None else value for value in (stored, requested))
        if not isinstance(held, Mapping) or not isinstance(wanted, Mapping):
            return False
        return all(
            rules.get(name, other)(held.get(name), wanted.get(name)) for name in {*held, *wanted}
        )

    return compare


def _defaults(*values: Any) -> Rule:
    """Returns a rule that takes one of these values for a member that was not sent."""

    def compare(stored: Any, requested: Any) -> bool:
        is_default = _is_empty(requested) and any(_same(stored, value) for value in values)
        return is_default or _same(stored, requested)

    return compare


def _ignored(_stored: Any, _requested: Any) -> bool:
    return True


def _same_if_stored(stored: Any, requested: Any) -> bool:
    return stored is None or _same(stored, requested)


def _same_device(stored: Any, requested: Any) -> bool:
    return (stored or None) == (requested or None)  # DPS drops an empty id


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
# The defaults of the REST reference; no recording shows that DPS stores them.
_POLICY = _object(
    {
        "updateHubAssignment": _defaults(True),
        "migrateDeviceData": _defaults(True),
        "iotEdge": _defaults(False),
    }
)
_RECORD = _object(
    {
        "registrationId": _same_id,
        "enrollmentGroupId": _same_id,
        "deviceId": _same_device,
        "attestation": _ATTESTATION,
        "capabilities": _POLICY,
        "reprovisionPolicy": _POLICY,
        "provisioningStatus": _defaults("enabled"),
        # The default is that of the DPS instance, which cannot be `custom`.
        "allocationPolicy": _defaults("hashed", "geoLatency", "static"),
        "customAllocationDefinition": _object({"webhookUrl": _same_url}),
        **dict.fromkeys(
            ("initialTwin", "iotHubHostName", "iotHubs", "optionalDeviceInformation"), _same
        ),
        **dict.fromkeys(READ_ONLY_MEMBERS, _ignored),
    },
    other=_same_if_stored,
)
