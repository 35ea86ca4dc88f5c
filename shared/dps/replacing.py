"""Writing over a record that is there: whole, without losing its keys, however often it changes."""

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any

from shared.dps.context import NO_CONTEXT, CallContext
from shared.dps.records import Record
from shared.dps.resources import EnrollmentResource
from shared.errors import DpsAnswerError, DpsConflictError, DpsPreconditionFailedError

_ATTEMPTS = 20
_LONGEST_DELAY = 1.0
_KEYS = ("primaryKey", "secondaryKey")
_CHANGED = 409203

Json = Mapping[str, Any]


async def replace(
    resource: EnrollmentResource, id: str, document: Json, *, context: CallContext = NO_CONTEXT
) -> Record:
    """
    Writes a document over the record that is there; symmetric keys it does not give stay.

    Repeated on a fresh etag when the record changed meanwhile, within the time of one call; raises
    `DpsPreconditionFailedError` when it keeps changing, and whatever else the calls raise.
    """
    return await rewrite(resource, id, lambda _: document, context=context)


async def rewrite(
    resource: EnrollmentResource,
    id: str,
    change: Callable[[Record], Json],
    *,
    if_match: str | None = None,
    context: CallContext = NO_CONTEXT,
) -> Record:
    """
    Reads a record, writes what `change` makes of it, and gives that back; keys stay as `replace` says.

    With `if_match` it is written only if that is the record's etag, and not repeated.
    """
    context = resource.begin(context)
    attempt = 0
    while True:
        attempt += 1
        # The etag first: keys that are rolled after it was read fail the write.
        stored = await resource.get(id, context=context)
        document = change(stored)
        if lacks_keys(document):
            mechanism = await resource.get_attestation_mechanism(id, context=context)
            document = _with_keys(document, mechanism)
        try:
            return await resource.create_or_update(
                id, document, if_match=if_match or stored.etag, context=context
            )
        except (DpsPreconditionFailedError, DpsConflictError) as error:
            if if_match or attempt == _ATTEMPTS or not _is_change_meanwhile(error):
                raise
        # Writers that met do not meet again.
        await asyncio.sleep(random.uniform(0, min(_LONGEST_DELAY, 0.01 * 2**attempt)))  # noqa: S311


def _is_change_meanwhile(error: DpsAnswerError) -> bool:
    # DPS words one and the same as 412 or as 409203 "Precondition failed."
    # (azure-iot-sdk-c, provisioning_client/tests/common_prov_e2e/common_prov_e2e.c).
    return isinstance(error, DpsPreconditionFailedError) or error.error_code == _CHANGED


def lacks_keys(document: Json) -> bool:
    """Whether the document has symmetric keys and leaves one to the record that is there."""
    attestation = document["attestation"]
    given = attestation.get("symmetricKey") or {}
    return attestation["type"] == "symmetricKey" and not all(given.get(key) for key in _KEYS)


def _with_keys(document: Json, mechanism: Record) -> Json:
    # Whether DPS keeps keys that a write does not give is documented nowhere.
    attestation = document["attestation"]
    given = attestation.get("symmetricKey") or {}
    stored = mechanism.get("symmetricKey") or {}
    kept = {key: stored[key] for key in _KEYS if key in stored and not given.get(key)}
    return {**document, "attestation": {**attestation, "symmetricKey": {**given, **kept}}}
