"""Items, as they are read from the records of a bulk request."""

from typing import Any

import pytest

from shared.dps.batching.items import ItemReader, RequestItem
from shared.dps.models import ENROLLMENT_GROUP, INDIVIDUAL_ENROLLMENT, BulkMode, RecordKind
from tests.shared.dps.documents import individual


async def read(
    records: list[Any], mode: str, *, kind: RecordKind = INDIVIDUAL_ENROLLMENT, **options: Any
) -> list[RequestItem]:
    """Returns the items of a bulk request with these records."""
    reader = ItemReader(
        kind=kind, mode=BulkMode(mode), at=(kind.path,), check_size=False, **options
    )
    return await reader.read(records)


async def test_faults_have_the_position_of_their_record() -> None:
    """The pointer of a fault starts with the path and the position."""
    items = await read([individual(), {"registrationId": "a"}, 1], "create")

    assert [item.faults for item in items] == [
        {},
        {"/enrollments/1/attestation": "is required"},
        {"/enrollments/2": "must be an object"},
    ]


async def test_delete_needs_only_ids() -> None:
    """Other members of a record to delete are neither required nor validated."""
    (item,) = await read([{"enrollmentGroupId": "g"}], "delete", kind=ENROLLMENT_GROUP)

    assert (item.id, item.faults) == ("g", {})


@pytest.mark.parametrize("etag", [None, 7, "two words"])
async def test_native_update_leaves_the_etag_to_dps(etag: object) -> None:
    """Over HTTP DPS decides about the etags of its own modes."""
    (item,) = await read([individual(etag=etag)], "updateIfMatchETag", is_native=True)

    assert (item.faults, item.native_mode) == ({}, BulkMode.UPDATE_IF_MATCH_ETAG)


async def test_equal_items_are_numbered() -> None:
    """The number distinguishes the results of equal items of one message."""
    items = await read([individual(), individual(deviceId="x"), individual()], "create")

    assert [item.occurrence for item in items] == [0, 0, 1]
