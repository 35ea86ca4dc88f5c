"""Messages that are handled more than once: what is done already is no conflict."""

from collections.abc import Callable

import pytest

from tests.functions.queue_messages import data, message
from tests.functions.queue_requests import (
    CREATE,
    DELETE,
    UPDATE,
    UPSERT,
    Dps,
    asked,
    enrollment,
    failing,
    group,
    with_keys,
)
from tests.functions.queue_stack import REQUESTS, Queues

CHANGED = {"provisioningStatus": "disabled"}


def create(_: Dps) -> dict:
    """Of a record that is not there."""
    return asked(CREATE, **CHANGED)


def create_with_keys(_: Dps) -> dict:
    """Which DPS does not show when the record is read."""
    return {"operation": CREATE, "enrollment": with_keys()}


def create_group(_: Dps) -> dict:
    """Of a group that is not there."""
    return {"operation": CREATE, "enrollmentGroup": group()}


def update(dps: Dps) -> dict:
    """By the etag that the record has, and then has no more."""
    return asked(UPDATE, **CHANGED) | {"ifMatch": dps.put(enrollment())["etag"]}


def update_with_keys(dps: Dps) -> dict:
    """The same, which goes as a bulk call."""
    etag = dps.put(enrollment())["etag"]
    return {"operation": UPDATE, "enrollment": with_keys(**CHANGED), "ifMatch": etag}


def upsert(dps: Dps) -> dict:
    """Of a record that is there."""
    dps.put(enrollment())
    return asked(UPSERT, **CHANGED)


def delete(dps: Dps) -> dict:
    """Whatever the etag."""
    dps.put(enrollment())
    return asked(DELETE)


def delete_by_etag(dps: Dps) -> dict:
    """By the etag that the record has."""
    return asked(DELETE) | {"ifMatch": dps.put(enrollment())["etag"]}


@pytest.mark.parametrize(
    "prepare",
    [
        create,
        create_with_keys,
        create_group,
        update,
        update_with_keys,
        upsert,
        delete,
        delete_by_etag,
    ],
)
def test_message_that_was_done_succeeds_when_it_comes_again(
    queues: Queues, dps_of_queues: Dps, prepare: Callable[[Dps], dict]
):
    """Its second result is the first under the same id, so that one who counts counts one."""
    request = prepare(dps_of_queues)

    queues.deliver_twice(request)

    first, second = queues.results(2)
    assert {first["event"]["data"]["status"], second["event"]["data"]["status"]} == {"succeeded"}
    assert first["message_id"] == second["message_id"]


@pytest.mark.parametrize("prepare", [create, create_with_keys, update, update_with_keys])
def test_record_of_somebody_else_stays_a_conflict(
    queues: Queues, dps_of_queues: Dps, prepare: Callable[[Dps], dict]
):
    """What was written between the two deliveries is not taken for the message's own doing."""
    request = prepare(dps_of_queues)

    other = enrollment(deviceId="other")

    queues.deliver_twice(request, between=lambda: dps_of_queues.put(other, if_match="*"))

    assert [told["status"] for told in data(queues.results(2))] == ["succeeded", "rejected"]
    [parked] = queues.parked()
    assert parked["properties"]["reason"] in {"DpsConflict", "DpsPreconditionFailed"}
    stored = dps_of_queues.get(enrollment())
    assert stored
    assert stored["deviceId"] == "other"


@pytest.mark.parametrize("operation", [CREATE, UPSERT, UPDATE])
def test_keys_of_a_device_are_the_same_after_a_replay(
    queues: Queues, dps_of_queues: Dps, operation: str
):
    """A device keeps its keys whatever is done twice, as the message gave none."""
    keys = []
    if operation != CREATE:
        dps_of_queues.put(enrollment())
        keys.append(dps_of_queues.keys(enrollment()))

    queues.deliver_twice(
        asked(operation, **CHANGED), between=lambda: keys.append(dps_of_queues.keys(enrollment()))
    )

    queues.results(2)
    assert all(dps_of_queues.keys(enrollment()) == before for before in keys)


def test_reply_that_is_lost_is_no_conflict(queues: Queues, dps_of_queues: Dps):
    """DPS created the record and broke off: the record is compared, within the invocation."""
    dps_of_queues.faults(failing(times=1) | {"do": {"resetAfterCommit": True}})

    queues.request(asked(CREATE))

    assert data(queues.results())[0]["status"] == "succeeded"
    assert queues.broker.statistics.delivered == 1


@pytest.mark.usefixtures("hasty")
def test_copy_that_was_put_off_compares_too(queues: Queues, dps_of_queues: Dps):
    """The attempt that was put off had created the record, and could not even look."""
    broken = {"do": {"resetAfterCommit": True}}
    dps_of_queues.faults(failing(times=1) | broken, {"do": {"status": 503}})
    queues.request(asked(CREATE))
    queues.put_off()

    dps_of_queues.faults()
    queues.let_pass(60)

    assert data(queues.results())[0]["status"] == "succeeded"
    assert dps_of_queues.get(enrollment())


def test_message_sent_twice_under_one_id_is_handled_once(queues: Queues):
    """The queue sees to that; our own copies have ids of their own."""
    for _ in range(2):
        queues.request(asked(CREATE), message_id="erp-4711")
    queues.send(REQUESTS, message(asked(CREATE, "dev-2"), message_id="erp-4712"))

    subjects = {result["subject"] for result in queues.results(2)}

    assert subjects == {"dev-1", "dev-2"}
    assert queues.broker.statistics.duplicates == 1
