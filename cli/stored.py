"""Records stored in DPS, read through the app, and how they differ from rows."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from typing import Any

from cli.client import AppClient
from shared.dps.batching.items import unquoted
from shared.dps.models import RecordKind
from shared.dps.reconciliation import matches_request
from shared.dps.responses import READ_ONLY_MEMBERS
from shared.dps.symmetric_keys import omits_keys, with_stored_keys

Document = Mapping[str, Any]

CONCURRENT_READS = 16
# Below, the records are read one by one even if DPS should store no others.
_FEW = 20
_MISSING = object()
REMOVED = " (removed)"
"""Marks a member in `changed_members` that the row does not have."""


async def find_stored(
    client: AppClient, kind: RecordKind, ids: Collection[str]
) -> AsyncIterator[tuple[str, Document]]:
    """
    Yields the stored record, without keys, for each id that DPS has, by case-folded id.

    Reads pages, but no more than there are ids: if DPS stores many more records than that, the rest
    is read one by one.
    """
    remaining = {id.casefold(): id for id in ids}
    budget = len(remaining) if len(remaining) > _FEW else 0
    if budget:
        async for page in client.pages(f"/{kind.path}/query"):
            for record in page:
                key = str(record.get(kind.id_member)).casefold()
                if remaining.pop(key, None) is not None:
                    yield key, record
            budget -= 1
            if not budget or not remaining:
                break
        else:
            return
    async for found in _read_each(client, kind, remaining):
        yield found


async def _read_each(
    client: AppClient, kind: RecordKind, ids: Mapping[str, str]
) -> AsyncIterator[tuple[str, Document]]:
    keys = list(ids)
    for first in range(0, len(keys), CONCURRENT_READS):
        some = keys[first : first + CONCURRENT_READS]
        records = await asyncio.gather(*(client.find(kind, ids[key]) for key in some))
        for key, record in zip(some, records, strict=True):
            if record is not None:
                yield key, record


def has_keys(requested: Document) -> bool:
    """Returns whether a row has symmetric keys, which DPS returns only where asked for them."""
    keys = _attestation(requested).get("symmetricKey")
    return any(keys.values()) if isinstance(keys, Mapping) else bool(keys)


async def has_stored_keys(client: AppClient, kind: RecordKind, id: str, keys: Document) -> bool:
    """Returns whether the stored record has exactly these symmetric keys."""
    mechanism = await client.attestation(kind, id)
    return mechanism is not None and mechanism.get("symmetricKey") == keys


async def is_stored(client: AppClient, kind: RecordKind, stored: Document, row: Document) -> bool:
    """Returns whether the stored record is as the row asks for, keys included."""
    if has_keys(row):
        attestation = await client.attestation(kind, row[kind.id_member])
        if attestation is None:
            return False  # it was deleted after it was read
        stored = {**stored, "attestation": attestation}
    return matches_request(stored, row)


async def document_for_update(client: AppClient, kind: RecordKind, row: Document) -> Document:
    """Returns the record of a row for DPS's own update: with etag, and with the keys that DPS has."""
    document = {**row, "etag": expected_etag(row)}
    if not omits_keys(row):
        return document
    mechanism = await client.attestation(kind, row[kind.id_member])
    return with_stored_keys(document, mechanism or {})


def expected_etag(row: Document) -> str | None:
    """Returns the etag that the stored record must have, `None` for any."""
    etag = row.get("etag")
    bare = unquoted(etag) if isinstance(etag, str) else None
    return None if bare == "*" else bare


def changed_members(stored: Document, requested: Document) -> list[str]:
    """
    Returns the members, by dotted path, that the row would change; keys are not compared.

    A member that the row does not have is marked as removed.
    """
    attestation = {k: v for k, v in _attestation(requested).items() if k != "symmetricKey"}
    kept = {**_attestation(stored)}
    kept.pop("symmetricKey", None)
    requested = {**requested, "attestation": attestation} if attestation else requested
    stored = {**stored, "attestation": kept} if kept else stored
    if matches_request(stored, requested):
        return []
    names = sorted({*stored, *requested} - READ_ONLY_MEMBERS)
    changed = []
    for name in names:
        before, after = stored.get(name, _MISSING), requested.get(name, _MISSING)
        if not matches_request(_one(name, before), _one(name, after)):
            changed += list(_differences(before, after, name)) or [name]
    return changed


def _one(name: str, value: Any) -> Document:
    return {} if value is _MISSING else {name: value}


def _attestation(document: Document) -> Mapping[str, Any]:
    value = document.get("attestation")
    return value if isinstance(value, Mapping) else {}


def _differences(before: Any, after: Any, at: str) -> Iterator[str]:
    if isinstance(before, Mapping) and (isinstance(after, Mapping) or after is _MISSING):
        after = {} if after is _MISSING else after
        for name in sorted({*before, *after}):
            yield from _differences(
                before.get(name, _MISSING), after.get(name, _MISSING), f"{at}.{name}"
            )
    elif before != after:
        yield at + REMOVED if after is _MISSING else at
