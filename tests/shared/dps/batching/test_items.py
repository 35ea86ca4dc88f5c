"""Items, as they are read from the records of a bulk request."""

import asyncio

import pytest

from shared.dps.batching.items import MAX_RECORD_FAULTS, ItemReader, find_record_faults
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


def test_number_of_faults_of_a_refused_request_is_limited() -> None:
    """A request of three megabytes could have a million, of which a thousand are listed."""
    record = individual(iotHubs=[1] * 400)

    faults = find_record_faults({"enrollments": [record] * 100}, INDIVIDUAL_ENROLLMENT)

    assert MAX_RECORD_FAULTS <= len(faults) < MAX_RECORD_FAULTS + 500
