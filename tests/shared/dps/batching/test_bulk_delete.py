"""Deletes if DPS refuses a bulk delete of ids alone."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from local.dps import DpsStandIn, Options
from local.threads import in_thread
from shared.dps import DpsClient
from shared.dps.batching.items import ItemResult
from shared.dps.batching.writer import BatchWriter
from shared.dps.models import ENROLLMENT_GROUP
from shared.errors import DpsNotFoundError
from tests.shared.dps.batching.changes import (
    BULK,
    DELETE,
    apply,
    apply_all,
    change,
    creates,
    dps_operations,
    stored_ids,
    types_of,
)
from tests.shared.dps.documents import enrollment


@pytest.fixture(scope="module")
def one_dps() -> Iterator[DpsStandIn]:
    """A stand-in that refuses a bulk delete of ids alone."""
    options = Options(port=0, tls_port=None, delete_needs_attestation=True)
    with in_thread(DpsStandIn(options)) as stand_in:
        yield stand_in


@pytest.fixture
def dps(one_dps: DpsStandIn) -> DpsStandIn:
    """That stand-in without records and faults."""
    httpx.post(f"{one_dps.url}/_reset").raise_for_status()
    return one_dps


async def test_changes_of_a_refused_bulk_delete_are_individual_calls(
    writer: BatchWriter, dps: DpsStandIn
) -> None:
    """Each delete of the refused call is applied by itself."""
    await apply_all(writer, creates(3))

    results = await apply_all(writer, [change(DELETE, f"d-{n}") for n in range(4)])

    assert types_of(results) == [ItemResult] * 3 + [DpsNotFoundError]
    assert dps_operations(dps)[1:] == ["bulk"] + ["delete"] * 4


async def test_refused_bulk_delete_is_not_repeated(writer: BatchWriter, dps: DpsStandIn) -> None:
    """After the first refusal neither pending nor later deletes are sent as bulk calls."""
    await apply_all(writer, [change(DELETE, f"d-{n}") for n in range(400)])
    bulk_calls = dps_operations(dps).count("bulk")

    await apply_all(writer, [change(DELETE, "d-1")])

    assert bulk_calls <= 32
    assert dps_operations(dps).count("bulk") == bulk_calls


async def test_refusal_for_one_kind_does_not_affect_the_other(
    writer: BatchWriter, dps: DpsStandIn
) -> None:
    """A bulk delete of groups is still tried after one of enrollments was refused."""
    await apply_all(writer, [change(DELETE, "d-1")])

    await apply_all(writer, [change(DELETE, "g-1", kind=ENROLLMENT_GROUP)])

    assert dps_operations(dps, ENROLLMENT_GROUP) == ["bulk", "delete"]


async def test_refused_item_is_deleted_individually(
    writer: BatchWriter, client: DpsClient, dps: DpsStandIn, inject_faults: Callable[..., None]
) -> None:
    """A refused item does not disable bulk deletes."""
    await client.enrollments.create_or_update("d-1", enrollment("d-1"))
    error = {"registrationId": "d-1", "errorCode": 400004, "errorStatus": "no attestation"}
    answer = {"status": 200, "body": {"errors": [error], "isSuccessful": False}}
    inject_faults({"match": BULK, "times": 1, "do": answer})

    await apply(writer, change(DELETE, "d-1"))
    await apply_all(writer, [change(DELETE, "d-2")])

    assert await stored_ids(client) == set()
    assert dps_operations(dps)[1:3] == ["delete", "bulk"]
