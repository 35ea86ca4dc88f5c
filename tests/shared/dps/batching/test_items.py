"""Items, as they are read from the records of a bulk request."""

import asyncio

import pytest

from shared.dps.batching.items import ItemReader
from shared.dps.models import INDIVIDUAL_ENROLLMENT, BulkMode
from tests.shared.dps.documents import individual


@pytest.mark.parametrize("etag", [None, 7, "two words"])
async def test_native_update_leaves_the_etag_to_dps(etag: object) -> None:
    """Over HTTP DPS decides about the etags of its own modes."""
    reader = ItemReader(
        kind=INDIVIDUAL_ENROLLMENT,
        mode=BulkMode.UPDATE_IF_MATCH_ETAG,
        at=("enrollments",),
        check_size=False,
        is_native=True,
    )

    (item,) = await reader.read([individual(etag=etag)])

    assert (item.faults, item.native_mode) == ({}, BulkMode.UPDATE_IF_MATCH_ETAG)


async def test_other_tasks_run_between_records() -> None:
    """A record can take milliseconds, and a request can have thousands."""
    reader = ItemReader(
        kind=INDIVIDUAL_ENROLLMENT, mode=BulkMode.CREATE, at=("enrollments",), check_size=False
    )
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    other = asyncio.create_task(count_turns())
    await reader.read([individual()] * 50)
    other.cancel()

    assert turns >= 49
