"""The transport: every request exactly as often on the wire as attempts were made."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from local.dps import DpsStandIn
from local.stack import UNPACED
from shared.dps import CallContext, DpsClient
from shared.errors import (
    DpsCredentialError,
    DpsFaultError,
    DpsNotFoundError,
    DpsRefusedError,
    DpsReplyLostError,
    DpsThrottledError,
    DpsTimeoutError,
)
from shared.settings import Settings

ENROLLMENT = {"registrationId": "dev-1", "attestation": {"type": "symmetricKey"}}
CALLS = {
    "PUT": lambda dps: dps.enrollments.create_or_update("dev-1", ENROLLMENT),
    "POST": lambda dps: dps.enrollments.run_bulk_operation(
        {"mode": "create", "enrollments": [ENROLLMENT]}
    ),
    "DELETE": lambda dps: dps.enrollments.delete("dev-2"),
}


# Not the POST that reads attestation mechanisms.
WRITTEN = "^/enrollments(/dev-.)?$"


def impatient(dps: DpsStandIn, **settings: float) -> Settings:
    """Settings for calls that are to fail soon."""
    named = {name.upper(): str(value) for name, value in settings.items()}
    return Settings.read({**UNPACED, "DPS_CONNECTION_STRING": dps.connection_string, **named})


def on_the_wire(dps: DpsStandIn, method: str) -> int:
    """How often DPS saw the method."""
    return sum(request.method == method for request in dps.requests)


@pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
@pytest.mark.parametrize("attempts", [1, 3])
@pytest.mark.parametrize("method", CALLS)
async def test_requests_on_the_wire_are_the_attempts_made(
    dps: DpsStandIn, order_faults: Callable[..., None], method: str, attempts: int, reused: bool
):
    """Nothing below the client sends a request again, on a fresh connection or a reused one."""
    settings = impatient(dps, dps_max_attempts=attempts)

    async with DpsClient(settings) as client:
        if reused:
            await client.enrollments.query({"query": "*"}).page()
        await client.enrollments.create_or_update("dev-2", ENROLLMENT | {"registrationId": "dev-2"})
        order_faults({"match": {"method": method, "path": WRITTEN}, "do": {"resetBefore": True}})
        before = on_the_wire(dps, method)
        with pytest.raises(DpsReplyLostError):
            await CALLS[method](client)

    assert on_the_wire(dps, method) - before == attempts


@pytest.mark.parametrize(
    "do",
    [
        {"status": 500},
        {"status": 503, "html": True},
        {"resetBefore": True},
        {"halfAnswer": True},
        {"status": 429, "headers": {"Retry-After": "0"}},
        {"status": 408},
    ],
    ids=["500", "503-html", "reset", "half", "429", "408"],
)
async def test_read_is_repeated_until_it_succeeds(
    client: DpsClient, dps: DpsStandIn, order_faults: Callable[..., None], enrollment, do
):
    """A read that failed twice is sent a third time, and no oftener."""
    await client.enrollments.create_or_update("dev-1", enrollment("dev-1"))
    order_faults({"match": {"method": "GET"}, "times": 2, "do": do})

    record = await client.enrollments.get("dev-1")

    assert record.id == "dev-1"
    assert on_the_wire(dps, "GET") == 3


async def test_attempts_have_a_limit(dps: DpsStandIn, order_faults: Callable[..., None]):
    """A read that always fails is sent as often as the settings say."""
    order_faults({"match": {"method": "GET"}, "do": {"status": 500}})

    async with DpsClient(impatient(dps, dps_max_attempts=3)) as client:
        with pytest.raises(DpsFaultError) as raised:
            await client.enrollments.get("dev-1")

    assert raised.value.status == 500
    assert on_the_wire(dps, "GET") == 3


async def test_throttled_write_is_repeated(
    client: DpsClient, dps: DpsStandIn, order_faults: Callable[..., None], enrollment
):
    """A write that DPS refused for its quota was not done, so it is sent again."""
    order_faults(
        {
            "match": {"method": "PUT"},
            "times": 1,
            "do": {"status": 429, "headers": {"Retry-After": "0"}},
        }
    )

    record = await client.enrollments.create_or_update("dev-1", enrollment("dev-1"))

    assert record.id == "dev-1"
    assert on_the_wire(dps, "PUT") == 2


async def test_retry_after_past_the_deadline_ends_the_call(
    client: DpsClient, dps: DpsStandIn, order_faults: Callable[..., None]
):
    """A wait that the deadline does not allow is handed to the caller instead."""
    order_faults({"do": {"status": 429, "headers": {"Retry-After": "3600"}}})

    with pytest.raises(DpsThrottledError) as raised:
        await client.enrollments.get("dev-1")

    assert raised.value.retry_after == 3600
    assert on_the_wire(dps, "GET") == 1


async def test_stalled_answer_ends_at_the_attempts_limit(
    dps: DpsStandIn, order_faults: Callable[..., None]
):
    """A DPS that says nothing is a timeout, attempt by attempt."""
    order_faults({"match": {"method": "GET"}, "do": {"stall": True}})

    settings = impatient(dps, dps_attempt_timeout_seconds=0.2, dps_max_attempts=2)
    async with DpsClient(settings) as client:
        with pytest.raises(DpsTimeoutError):
            await client.enrollments.get("dev-1")

    assert on_the_wire(dps, "GET") == 2


async def test_deadline_covers_all_attempts(dps: DpsStandIn, order_faults: Callable[..., None]):
    """However long one attempt may take, the call ends at its deadline."""
    order_faults({"match": {"method": "GET"}, "do": {"stall": True}})

    async with DpsClient(impatient(dps, dps_timeout_seconds=0.3)) as client:
        with pytest.raises(DpsTimeoutError):
            await client.enrollments.get("dev-1")

    assert on_the_wire(dps, "GET") == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credential_has_an_error_of_its_own(
    client: DpsClient, order_faults: Callable[..., None], status: int
):
    """That DPS refuses the app's credential is not the fault of whoever calls the app."""
    body = {"errorCode": status * 1000, "message": "Unauthorized", "trackingId": "t-1"}
    order_faults({"do": {"status": status, "body": body}})

    with pytest.raises(DpsCredentialError) as raised:
        await client.enrollments.get("dev-1")

    assert raised.value.tracking_id == "t-1"


async def test_gateways_error_shape_is_read(client: DpsClient, order_faults: Callable[..., None]):
    """The second shape of DPS's errors is understood: text and tracking id."""
    order_faults({"do": {"status": 404, "gatewayShape": True}})

    with pytest.raises(DpsNotFoundError) as raised:
        await client.enrollments.get("dev-1")

    assert "ErrorCode:" in str(raised.value)
    assert raised.value.tracking_id
    assert raised.value.error_code is None


@pytest.mark.parametrize(
    "do",
    [
        {"status": 200, "html": True},
        {"status": 200, "body": "text"},
        {"status": 200, "body": [1]},
        {"status": 204},
    ],
    ids=["html", "text", "list", "empty"],
)
async def test_answer_that_is_no_record_is_a_fault(
    dps: DpsStandIn, order_faults: Callable[..., None], do: dict[str, Any]
):
    """A good status with something else than a record is never taken for one."""
    order_faults({"match": {"method": "GET"}, "do": do})

    async with DpsClient(impatient(dps, dps_max_attempts=1)) as client:
        with pytest.raises(DpsFaultError):
            await client.enrollments.get("dev-1")


async def test_nothing_is_sent_after_the_deadline(client: DpsClient, dps: DpsStandIn):
    """A call whose time is over is not begun."""
    await client.enrollments.query({"query": "*"}).page()
    over = CallContext(deadline=asyncio.get_running_loop().time() - 1)

    with pytest.raises(DpsTimeoutError) as raised:
        await client.enrollments.create_or_update("dev-1", ENROLLMENT, context=over)

    assert not raised.value.in_doubt
    assert on_the_wire(dps, "PUT") == 0


@pytest.mark.parametrize("status", [405, 413, 415])
async def test_refusal_with_another_status_is_not_repeated(
    client: DpsClient, dps: DpsStandIn, order_faults: Callable[..., None], status: int
):
    """What DPS refuses once it refuses again, whatever the status."""
    order_faults({"match": {"method": "PUT"}, "do": {"status": status}})

    with pytest.raises(DpsRefusedError) as raised:
        await client.enrollments.create_or_update("dev-1", ENROLLMENT)

    assert not raised.value.in_doubt
    assert on_the_wire(dps, "PUT") == 1


async def test_failed_read_is_never_in_doubt(client: DpsClient, order_faults):
    """A read changes nothing, so nothing of it is unknown."""
    order_faults({"do": {"status": 500}})

    with pytest.raises(DpsFaultError) as raised:
        await client.enrollments.get("dev-1")

    assert not raised.value.in_doubt
