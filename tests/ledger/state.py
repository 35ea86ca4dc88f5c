"""The records of the stand-in, read as any client reads them."""

import asyncio
from collections.abc import Iterable, Mapping

from shared.dps import DpsClient, Record
from shared.dps.resources import EnrollmentResource
from tests.ledger.asked import Key

_ALL = {"query": "SELECT *"}
_AT_ONCE = 16


def resource_of(client: DpsClient, path: str) -> EnrollmentResource:
    """The collection at a path."""
    return {"enrollments": client.enrollments, "enrollmentGroups": client.enrollment_groups}[path]


async def records_in(client: DpsClient) -> dict[Key, Record]:
    """All records, without keys."""
    found = {}
    for path in ("enrollments", "enrollmentGroups"):
        resource = resource_of(client, path)
        async for record in resource.query(_ALL, top=1000):
            found[path, record[resource.kind.id_member].casefold()] = record
    return found


async def keys_of(client: DpsClient, records: Iterable[Key]) -> Mapping[Key, Mapping[str, str]]:
    """The symmetric keys of records."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def read(key: Key) -> tuple[Key, Mapping[str, str]]:
        async with places:
            mechanism = await resource_of(client, key[0]).get_attestation_mechanism(key[1])
        return key, mechanism.get("symmetricKey") or {}

    return dict(await asyncio.gather(*map(read, records)))
