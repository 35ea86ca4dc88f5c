"""Replacing a record whole without losing its keys, however often it changes meanwhile."""

from collections.abc import Mapping
from typing import Any

from shared.dps.context import NO_CONTEXT, CallContext
from shared.dps.records import Record
from shared.dps.resources import EnrollmentResource
from shared.errors import DpsPreconditionFailedError

_ATTEMPTS = 3
_KEYS = ("primaryKey", "secondaryKey")


async def replace(
    resource: EnrollmentResource,
    id: str,
    document: Mapping[str, Any],
    *,
    context: CallContext = NO_CONTEXT,
) -> Record:
    """
    Writes a record over the one that is there; symmetric keys the document does not give stay.

    Whether DPS keeps them by itself is documented nowhere. Repeated on a fresh etag when the record
    changed meanwhile; raises `DpsPreconditionFailedError` when it keeps changing, and whatever
    else the calls raise.
    """
    attempt = 0
    while True:
        attempt += 1
        # The etag first: keys that are rolled after it was read fail the write.
        stored = await resource.get(id, context=context)
        whole = document
        if _lacks_keys(document):
            mechanism = await resource.get_attestation_mechanism(id, context=context)
            whole = _with_keys(document, mechanism)
        try:
            return await resource.create_or_update(id, whole, if_match=stored.etag, context=context)
        except DpsPreconditionFailedError:
            if attempt == _ATTEMPTS:
                raise


def _lacks_keys(document: Mapping[str, Any]) -> bool:
    attestation = document["attestation"]
    given = attestation.get("symmetricKey") or {}
    return attestation["type"] == "symmetricKey" and not all(given.get(key) for key in _KEYS)


def _with_keys(document: Mapping[str, Any], mechanism: Record) -> Mapping[str, Any]:
    attestation = document["attestation"]
    given = attestation.get("symmetricKey") or {}
    kept = (mechanism.get("symmetricKey") or {}) | {k: v for k, v in given.items() if v}
    return {**document, "attestation": {**attestation, "symmetricKey": kept}}
