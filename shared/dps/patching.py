"""Changing some members of a record, on the live record: a JSON Merge Patch (RFC 7396)."""

from collections.abc import Iterator, Mapping
from typing import Any

from shared.documents import merged
from shared.dps.context import NO_CONTEXT, CallContext
from shared.dps.models import faults_in
from shared.dps.records import MASK, READ_ONLY_MEMBERS, Record
from shared.dps.replacing import rewrite
from shared.dps.resources import EnrollmentResource
from shared.errors import InvalidRequestError


async def patch(
    resource: EnrollmentResource,
    id: str,
    merge_patch: Mapping[str, Any],
    *,
    if_match: str | None = None,
    context: CallContext = NO_CONTEXT,
) -> Record:
    """
    Changes what the patch names and nothing else; symmetric keys it does not name stay.

    With `if_match` only if that is still the record's etag. Without it, or with `*`, the patch is
    laid on the record anew when that changed meanwhile. Raises `InvalidRequestError` with every
    fault of the record as it would be, and whatever the calls to DPS raise.
    """

    def patched(stored: Record) -> Mapping[str, Any]:
        document = merged(_writable(stored), merge_patch)
        _drop_outdated(document)
        # What DPS holds already it takes again, whatever our models make of it.
        known = faults_in(stored, resource.kind.record).items()
        faults = dict(faults_in(document, resource.kind.record).items() - known)
        faults |= _faults_of_change(stored, document)
        if faults:
            raise InvalidRequestError(faults, "The patched record would not be valid.")
        return dict(document)

    named = None if if_match == "*" else if_match
    return await rewrite(resource, id, patched, if_match=named, context=context)


def _writable(stored: Record) -> dict[str, Any]:
    return {name: value for name, value in stored.items() if name not in READ_ONLY_MEMBERS}


def _drop_outdated(document: dict[str, Any]) -> None:
    """Takes away what DPS read from certificates that the patch replaces."""
    attestation = document.get("attestation")
    for node in _objects_in(attestation):
        if node.get("certificate"):
            node.pop("info", None)


def _objects_in(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for member in value.values():
            yield from _objects_in(member)


def _faults_of_change(stored: Record, document: Any) -> dict[str, str]:
    """What a sound record may still not be changed to."""
    faults = {}
    if str(Record(document).id).casefold() != str(stored.id).casefold():
        faults["/registrationId" if "registrationId" in stored else "/enrollmentGroupId"] = (
            "names the record and cannot be changed"
        )
    definition = document.get("customAllocationDefinition")
    if isinstance(definition, Mapping) and MASK in str(definition.get("webhookUrl")):
        faults["/customAllocationDefinition/webhookUrl"] = (
            "is masked by DPS and would be written so: give it in the patch, or remove the definition"
        )
    return faults
