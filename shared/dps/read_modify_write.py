"""Read-modify-write of a record: replace and patch, with retries on conflicts and kept keys."""

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from shared.dps.api_versions import foreign_members
from shared.dps.context import DEFAULT_CONTEXT, CallContext
from shared.dps.models import find_faults
from shared.dps.resources import EnrollmentResource
from shared.dps.responses import READ_ONLY_MEMBERS, Record
from shared.dps.symmetric_keys import omits_keys, with_stored_keys
from shared.dps.webhook_urls import find_document_faults
from shared.errors import (
    DpsAnswerError,
    DpsConflictError,
    DpsPreconditionFailedError,
    InvalidRequestError,
)
from shared.json_documents import apply_merge_patch

_MAX_ATTEMPTS = 20
_MAX_DELAY = 1.0  # seconds
_CONCURRENT_WRITE = 409203

JsonObject = Mapping[str, Any]


async def replace(
    resource: EnrollmentResource,
    id: str,
    document: JsonObject,
    *,
    if_match: str | None = None,
    context: CallContext = DEFAULT_CONTEXT,
) -> Record:
    """
    Replaces the stored record and returns it. What the document lacks is kept if it is a symmetric
    key, or a member that the context's API version does not have.

    Without `if_match` it retries with a fresh etag if the record was changed meanwhile, until the
    deadline of one call. Raises `DpsPreconditionFailedError` if it keeps changing, and the errors of
    the calls.
    """
    foreign = foreign_members(resource.api_version(context))

    def apply(stored: Record) -> JsonObject:
        kept = {name: value for name, value in stored.items() if name in foreign}
        return {**kept, **document}

    record = await modify(resource, id, apply, if_match=if_match, context=context)
    resource.find_lost(document, used=resource.version_for_change(context), context=context)
    return record


async def modify(
    resource: EnrollmentResource,
    id: str,
    change: Callable[[Record], JsonObject],
    *,
    if_match: str | None = None,
    context: CallContext = DEFAULT_CONTEXT,
) -> Record:
    """
    Reads the record, writes what `change` returns for it, and returns the stored record.

    It does so at the API version of `EnrollmentResource.version_for_change`. Keys are kept as in
    `replace`. With `if_match` it writes only if that is the record's etag, and does not retry.
    """
    context = resource.with_deadline(context)
    attempt = 0
    while True:
        attempt += 1
        # The etag is read before the keys: if the keys change in between, the write fails.
        stored, newest = await resource.get_for_change(id, context=context)
        document = change(stored)
        if omits_keys(document):
            mechanism = await resource.get_attestation_mechanism(id, context=newest)
            document = with_stored_keys(document, mechanism)
        try:
            return await resource.create_or_update(
                id, document, if_match=if_match or stored.etag, context=newest
            )
        except (DpsPreconditionFailedError, DpsConflictError) as error:
            if if_match or attempt == _MAX_ATTEMPTS or not _is_concurrent_write(error):
                raise
        # Jitter: concurrent writers must not collide again.
        await asyncio.sleep(random.uniform(0, min(_MAX_DELAY, 0.01 * 2**attempt)))  # noqa: S311


def _is_concurrent_write(error: DpsAnswerError) -> bool:
    # DPS reports it as 412 or as 409203 "Precondition failed."
    # (azure-iot-sdk-c, provisioning_client/tests/common_prov_e2e/common_prov_e2e.c).
    is_precondition = isinstance(error, DpsPreconditionFailedError)
    return is_precondition or error.error_code == _CONCURRENT_WRITE


async def patch(
    resource: EnrollmentResource,
    id: str,
    merge_patch: JsonObject,
    *,
    if_match: str | None = None,
    context: CallContext = DEFAULT_CONTEXT,
) -> Record:
    """
    Applies a JSON Merge Patch (RFC 7396) to the record and returns it; omitted keys are kept.

    With `if_match` it writes only if that is the record's etag. Without it, or with `*`, the patch
    is applied again if the record was changed meanwhile. Raises `InvalidRequestError` with every
    fault of the patched record, and the errors of the calls. A read-only member is a fault unless
    the record has its value.
    """

    def apply(stored: Record) -> JsonObject:
        patched = apply_merge_patch(stored, merge_patch)
        document = {name: patched[name] for name in patched if name not in READ_ONLY_MEMBERS}
        _remove_outdated_info(document)
        # DPS accepts what it stores, even if our models find faults in it.
        known = find_faults(stored, resource.kind.record).items()
        faults = dict(find_faults(document, resource.kind.record).items() - known)
        # Known, because DPS shows the URL masked, but it must not be stored like this.
        faults |= _change_faults(stored, patched) | find_document_faults(document)
        if faults:
            raise InvalidRequestError(faults, "The patched record would not be valid.")
        return document

    etag = None if if_match == "*" else if_match
    return await modify(resource, id, apply, if_match=etag, context=context)


def _remove_outdated_info(document: dict[str, Any]) -> None:
    """Removes the `info` that DPS read from certificates that the patch replaces."""
    for node in _objects(document.get("attestation")):
        if node.get("certificate"):
            node.pop("info", None)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for member in value.values():
            yield from _objects(member)


def _change_faults(stored: Record, document: Any) -> dict[str, str]:
    """Returns the faults of changes that are not allowed although the record is valid."""
    faults = {
        f"/{name}": "must not change: DPS writes it; omit it, or send the value that the record has"
        for name in sorted(READ_ONLY_MEMBERS)
        if document.get(name) != stored.get(name)
    }
    if str(Record(document).id).casefold() != str(stored.id).casefold():
        id_member = "registrationId" if "registrationId" in stored else "enrollmentGroupId"
        faults[f"/{id_member}"] = "must not change: it identifies the record"
    return faults
