"""Deletes by the bulk writer where DPS does not take ids alone in bulk."""

from collections.abc import Iterator

import httpx
import pytest

from local.dps import DpsStandIn, Options
from local.threads import in_thread
from shared.dps import DpsClient
from shared.dps.bulk_writer import Applied, BulkWriter
from shared.dps.models import ENROLLMENT_GROUP
from shared.errors import (
    DpsNotFoundError,
)
from tests.shared.dps.bulk_records import BULK, enrollment, stored
from tests.shared.dps.changes import (
    DELETE,
    change,
    creates,
    kinds,
    operations,
    outcomes,
)


@pytest.fixture(scope="module")
def one_dps() -> Iterator[DpsStandIn]:
    """A stand-in that refuses a bulk delete of ids alone."""
    options = Options(port=0, tls_port=None, delete_needs_attestation=True)
    with in_thread(DpsStandIn(options)) as stand_in:
        yield stand_in


@pytest.fixture
def dps(one_dps: DpsStandIn) -> DpsStandIn:
    """The same without records and faults."""
    httpx.post(f"{one_dps.url}/_reset").raise_for_status()
    return one_dps


async def test_deletes_are_done_one_by_one(writer: BulkWriter, dps: DpsStandIn):
    """The changes of the refused call are applied, each by itself."""
    await outcomes(writer, creates(3))

    became = await outcomes(writer, [change(DELETE, f"d-{n}") for n in range(4)])

    assert kinds(became) == [Applied] * 3 + [DpsNotFoundError]
    assert operations(dps)[1:] == ["bulk"] + ["delete"] * 4


async def test_bulk_is_not_tried_again(writer: BulkWriter, dps: DpsStandIn):
    """After the first refusal no further call is made, neither of those that wait nor of later ones."""
    await outcomes(writer, [change(DELETE, f"d-{n}") for n in range(400)])
    under_way = operations(dps).count("bulk")

    await outcomes(writer, [change(DELETE, "d-1")])

    assert under_way <= 32
    assert operations(dps).count("bulk") == under_way


async def test_other_kind_is_tried_for_itself(writer: BulkWriter, dps: DpsStandIn):
    """What is known of enrollments is not believed of groups."""
    await outcomes(writer, [change(DELETE, "d-1")])

    await outcomes(writer, [change(DELETE, "g-1", kind=ENROLLMENT_GROUP)])

    assert operations(dps, ENROLLMENT_GROUP) == ["bulk", "delete"]


async def test_delete_that_bulk_finds_bad_is_done_alone(
    writer: BulkWriter, client: DpsClient, dps: DpsStandIn, order_faults
):
    """One item that bulk refuses is deleted by itself; the next delete is tried in bulk again."""
    await client.enrollments.create_or_update("d-1", enrollment("d-1"))
    error = {"registrationId": "d-1", "errorCode": 400004, "errorStatus": "no attestation"}
    answer = {"status": 200, "body": {"errors": [error], "isSuccessful": False}}
    order_faults({"match": BULK, "times": 1, "do": answer})

    await writer.apply(change(DELETE, "d-1"))
    await outcomes(writer, [change(DELETE, "d-2")])

    assert await stored(client) == set()
    assert operations(dps)[1:3] == ["delete", "bulk"]
