"""What the bulk writer makes of calls that fail, and of lost replies."""

from typing import Any

import pytest

from local.dps import DpsStandIn
from shared.dps import DpsClient
from shared.dps.bulk_writer import Applied, BulkWriter
from shared.errors import (
    DpsBadRequestError,
    DpsCredentialError,
    DpsFaultError,
    DpsRefusedError,
    DpsThrottledError,
    OutcomeUnknownError,
)
from tests.shared.dps.bulk_records import BULK, enrollment, stored
from tests.shared.dps.changes import (
    CREATE,
    change,
    creates,
    kinds,
    outcomes,
)

LOST = {"match": BULK, "times": 1, "do": {"resetAfterCommit": True}}

# aiohttp's, for the tests that send more than a megabyte at once.
LARGE = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")


def heavy(kilobytes: int) -> dict[str, Any]:
    """Members of so much weight; DPS takes a megabyte."""
    return {"initialTwin": {"tags": {"x": "y" * kilobytes * 1024}}}


@LARGE
async def test_bad_change_takes_no_other_with_it(writer: BulkWriter, client: DpsClient):
    """Of a call that DPS refuses as a whole every good change is applied, and the bad one refused."""
    changes = [*creates(9), change(CREATE, "d-9", members=heavy(1100))]

    became = await outcomes(writer, changes)

    assert kinds(became) == [Applied] * 9 + [DpsRefusedError]
    assert await stored(client) == {f"d-{n}" for n in range(9)}


@LARGE
async def test_changes_that_are_too_large_together_are_parted(writer: BulkWriter):
    """Changes that DPS takes one by one are applied, however much they weigh together."""
    became = await outcomes(writer, creates(4, members=heavy(600)))

    assert kinds(became) == [Applied] * 4


async def test_refused_call_is_sent_in_halves(writer: BulkWriter, dps: DpsStandIn, order_faults):
    """What DPS found bad once is asked again in two calls, no more."""
    order_faults({"match": BULK, "times": 1, "do": {"status": 400}})

    became = await outcomes(writer, creates(10))

    assert kinds(became) == [Applied] * 10
    assert len(dps.requests) == 3


async def test_change_that_is_refused_alone_is_refused(writer: BulkWriter, order_faults):
    """There is nothing to part in a call of one change."""
    order_faults({"match": BULK, "do": {"status": 400}})

    with pytest.raises(DpsBadRequestError):
        await writer.apply(change(CREATE, "d-1"))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"status": 401}, DpsCredentialError),
        ({"status": 429, "headers": {"Retry-After": "90"}}, DpsThrottledError),
    ],
)
async def test_call_that_fails_fails_for_each(
    writer: BulkWriter, dps: DpsStandIn, order_faults, answer, error
):
    """A call that fails for a reason that is none of its changes' is not sent again in parts."""
    order_faults({"match": BULK, "do": answer})

    became = await outcomes(writer, creates(10, within=5))

    assert kinds(became) == [error] * 10
    assert len(dps.requests) == 1


async def test_call_is_tried_as_often_as_time_allows(
    writer: BulkWriter, dps: DpsStandIn, order_faults
):
    """The deadline of the changes ends the attempts, not the number that HTTP callers get."""
    order_faults(
        {"match": BULK, "times": 5, "do": {"status": 429, "headers": {"Retry-After": "0"}}}
    )

    await writer.apply(change(CREATE, "d-1"))

    assert len(dps.requests) == 6


async def test_bug_reaches_the_changes_of_its_call(writer: BulkWriter):
    """Of a change that is no JSON those in its call hear as it is; others and later ones do not."""
    changes = [*creates(9), change(CREATE, "bad", members={"tags": float("nan")})]
    others = [change(CREATE, f"other-{n}") for n in range(10)]

    became = await outcomes(writer, [*changes, *others])
    later = await writer.apply(change(CREATE, "later"))

    assert kinds(became) == [ValueError] * 10 + [Applied] * 10
    assert isinstance(later, Applied)


async def test_changes_that_were_done_before_the_reply_was_lost_are_applied(
    writer: BulkWriter, client: DpsClient, order_faults
):
    """If no answer comes after a lost one, the records tell which of the changes were done."""
    await client.enrollments.create_or_update("d-4", enrollment("d-4", deviceId="theirs"))
    order_faults(LOST, {"match": BULK, "do": {"status": 401}})

    became = await outcomes(writer, creates(10))

    assert kinds(became) == [Applied] * 4 + [OutcomeUnknownError] + [Applied] * 5


async def test_answer_of_another_call_is_no_answer(writer: BulkWriter, order_faults):
    """Errors for records that were not asked for do not make a success of those that were."""
    error = {"registrationId": "other", "errorCode": 409201, "errorStatus": "exists"}
    answer = {"status": 200, "body": {"errors": [error], "isSuccessful": False}}
    order_faults({"match": BULK, "do": answer})

    with pytest.raises(OutcomeUnknownError):
        await writer.apply(change(CREATE, "d-1"))


@pytest.mark.parametrize("status", [404, 409, 412])
async def test_answer_that_no_bulk_call_can_have_refuses_no_change(
    writer: BulkWriter, order_faults, status
):
    """What answers so of many records at once is not DPS, or not well: they are tried again."""
    order_faults({"match": BULK, "do": {"status": status, "body": {"errorCode": status * 1000}}})

    became = await outcomes(writer, creates(3))

    assert kinds(became) == [DpsFaultError] * 3
