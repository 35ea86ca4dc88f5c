"""The transport: attempts and retries, deadlines, and a permit for every attempt."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
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
    NoPermitError,
)
from shared.settings import Settings

BURST = 5  # calls that a process may make at once after a pause
ENROLLMENT = {"registrationId": "dev-1", "attestation": {"type": "symmetricKey"}}
CALLS = {
    "PUT": lambda dps: dps.enrollments.create_or_update("dev-1", ENROLLMENT),
    "POST": lambda dps: dps.enrollments.run_bulk_operation(
        {"mode": "create", "enrollments": [ENROLLMENT]}
    ),
    "DELETE": lambda dps: dps.enrollments.delete("dev-2"),
}
# Excludes the POST that reads an attestation mechanism.
RECORD_PATHS = "^/enrollments(/dev-.)?$"


def settings_for(dps: DpsStandIn, **settings: float) -> Settings:
    """Returns settings without a rate limit; `settings` are added."""
    variables = {name.upper(): str(value) for name, value in settings.items()}
    return Settings.read({**UNPACED, "DPS_CONNECTION_STRING": dps.connection_string, **variables})


def request_count(dps: DpsStandIn, method: str) -> int:
    """Returns how many requests with this method DPS received."""
    return sum(request.method == method for request in dps.requests)


@pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
@pytest.mark.parametrize("attempts", [1, 3])
@pytest.mark.parametrize("method", CALLS)
async def test_every_attempt_sends_one_request(
    dps: DpsStandIn, inject_faults: Callable[..., None], method: str, attempts: int, reused: bool
) -> None:
    """No layer below resends a request, on a new connection or a reused one."""
    settings = settings_for(dps, dps_max_attempts=attempts)

    async with DpsClient(settings) as client:
        if reused:
            await client.enrollments.query({"query": "*"}).page()
        await client.enrollments.create_or_update("dev-2", ENROLLMENT | {"registrationId": "dev-2"})
        inject_faults(
            {"match": {"method": method, "path": RECORD_PATHS}, "do": {"resetBefore": True}}
        )
        before = request_count(dps, method)
        with suppress(DpsReplyLostError):  # a bulk operation returns an error for its record
            await CALLS[method](client)

    assert request_count(dps, method) - before == attempts


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
async def test_failed_read_is_retried(
    client: DpsClient,
    dps: DpsStandIn,
    inject_faults: Callable[..., None],
    do: dict[str, Any],
) -> None:
    """A read that fails twice succeeds with the third attempt."""
    await client.enrollments.create_or_update("dev-1", ENROLLMENT)
    inject_faults({"match": {"method": "GET"}, "times": 2, "do": do})

    record = await client.enrollments.get("dev-1")

    assert record.id == "dev-1"
    assert request_count(dps, "GET") == 3


async def test_attempts_are_limited(dps: DpsStandIn, inject_faults: Callable[..., None]) -> None:
    """A read that always fails is sent `DPS_MAX_ATTEMPTS` times."""
    inject_faults({"match": {"method": "GET"}, "do": {"status": 500}})

    async with DpsClient(settings_for(dps, dps_max_attempts=3)) as client:
        with pytest.raises(DpsFaultError) as raised:
            await client.enrollments.get("dev-1")

    assert raised.value.status == 500
    assert request_count(dps, "GET") == 3


async def test_throttled_write_is_retried(
    client: DpsClient,
    dps: DpsStandIn,
    inject_faults: Callable[..., None],
) -> None:
    """A throttled write was not applied, so it is sent again."""
    inject_faults(
        {
            "match": {"method": "PUT"},
            "times": 1,
            "do": {"status": 429, "headers": {"Retry-After": "0"}},
        }
    )

    record = await client.enrollments.create_or_update("dev-1", ENROLLMENT)

    assert record.id == "dev-1"
    assert request_count(dps, "PUT") == 2


async def test_retry_after_past_the_deadline_is_not_waited_for(
    client: DpsClient, dps: DpsStandIn, inject_faults: Callable[..., None]
) -> None:
    """The call fails at once, and its error has the Retry-After."""
    inject_faults({"do": {"status": 429, "headers": {"Retry-After": "3600"}}})

    with pytest.raises(DpsThrottledError) as raised:
        await client.enrollments.get("dev-1")

    assert raised.value.retry_after == 3600
    assert request_count(dps, "GET") == 1


async def test_attempt_without_a_response_times_out(
    dps: DpsStandIn, inject_faults: Callable[..., None]
) -> None:
    """Each attempt ends after `DPS_ATTEMPT_TIMEOUT_SECONDS` without a byte."""
    inject_faults({"match": {"method": "GET"}, "do": {"stall": True}})

    settings = settings_for(dps, dps_attempt_timeout_seconds=0.2, dps_max_attempts=2)
    async with DpsClient(settings) as client:
        with pytest.raises(DpsTimeoutError):
            await client.enrollments.get("dev-1")

    assert request_count(dps, "GET") == 2


async def test_deadline_limits_all_attempts_together(
    dps: DpsStandIn, inject_faults: Callable[..., None]
) -> None:
    """The call ends after `DPS_TIMEOUT_SECONDS`, however long one attempt may take."""
    inject_faults({"match": {"method": "GET"}, "do": {"stall": True}})

    async with DpsClient(settings_for(dps, dps_timeout_seconds=0.3)) as client:
        with pytest.raises(DpsTimeoutError):
            await client.enrollments.get("dev-1")

    assert request_count(dps, "GET") == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credential_is_a_credential_error(
    client: DpsClient, inject_faults: Callable[..., None], status: int
) -> None:
    """A 401 or 403 is about the app's credential, not the caller's."""
    body = {"errorCode": status * 1000, "message": "Unauthorized", "trackingId": "t-1"}
    inject_faults({"do": {"status": status, "body": body}})

    with pytest.raises(DpsCredentialError) as raised:
        await client.enrollments.get("dev-1")

    assert raised.value.tracking_id == "t-1"


async def test_error_of_the_gateway_is_parsed(
    client: DpsClient, inject_faults: Callable[..., None]
) -> None:
    """The message and the tracking id of DPS's second error format are read."""
    inject_faults({"do": {"status": 404, "gatewayShape": True}})

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
async def test_response_that_is_no_record_is_a_fault(
    dps: DpsStandIn, inject_faults: Callable[..., None], do: dict[str, Any]
) -> None:
    """A successful status without a record is an error."""
    inject_faults({"match": {"method": "GET"}, "do": do})

    async with DpsClient(settings_for(dps, dps_max_attempts=1)) as client:
        with pytest.raises(DpsFaultError):
            await client.enrollments.get("dev-1")


async def test_nothing_is_sent_after_the_deadline(client: DpsClient, dps: DpsStandIn) -> None:
    """A call whose deadline has passed is not sent, and is not in doubt."""
    await client.enrollments.query({"query": "*"}).page()
    expired = CallContext(deadline=asyncio.get_running_loop().time() - 1)

    with pytest.raises(DpsTimeoutError) as raised:
        await client.enrollments.create_or_update("dev-1", ENROLLMENT, context=expired)

    assert not raised.value.in_doubt
    assert request_count(dps, "PUT") == 0


@pytest.mark.parametrize("status", [405, 413, 415])
async def test_other_client_errors_are_not_retried(
    client: DpsClient, dps: DpsStandIn, inject_faults: Callable[..., None], status: int
) -> None:
    """DPS would refuse the same request again."""
    inject_faults({"match": {"method": "PUT"}, "do": {"status": status}})

    with pytest.raises(DpsRefusedError) as raised:
        await client.enrollments.create_or_update("dev-1", ENROLLMENT)

    assert not raised.value.in_doubt
    assert request_count(dps, "PUT") == 1


async def test_failed_read_is_never_in_doubt(
    client: DpsClient, inject_faults: Callable[..., None]
) -> None:
    """A read changes nothing."""
    inject_faults({"do": {"status": 500}})

    with pytest.raises(DpsFaultError) as raised:
        await client.enrollments.get("dev-1")

    assert not raised.value.in_doubt


@pytest.fixture
async def limited_client(dps: DpsStandIn) -> AsyncIterator[DpsClient]:
    """A client with one operation per minute, which has one permit of its burst left."""
    limits = {"DPS_OPERATIONS_PER_MINUTE": "1", "DPS_TIMEOUT_SECONDS": "5"}
    connection = {"DPS_CONNECTION_STRING": dps.connection_string, "DPS_PACING_START": "1"}
    async with DpsClient(Settings.read(connection | limits)) as client:
        for _ in range(BURST - 1):
            await client.enrollments.query({"query": "*"}).page()
        yield client


async def test_every_attempt_needs_a_permit(
    limited_client: DpsClient, dps: DpsStandIn, inject_faults: Callable[..., None]
) -> None:
    """A retry needs a permit too; without one the call ends with its last error."""
    inject_faults({"match": {"method": "DELETE"}, "do": {"resetBefore": True}})

    with pytest.raises(DpsReplyLostError) as raised:
        await limited_client.enrollments.delete("dev-1")

    assert raised.value.in_doubt
    assert raised.value.retry_after is not None
    assert request_count(dps, "DELETE") == 1


async def test_call_without_a_permit_is_not_sent(
    limited_client: DpsClient, dps: DpsStandIn
) -> None:
    """The call fails at once, and the error says when a permit will be available."""
    await limited_client.enrollments.query({"query": "*"}).page()

    with pytest.raises(NoPermitError) as raised:
        await limited_client.enrollments.delete("dev-1")

    assert raised.value.retry_after is not None
    assert raised.value.retry_after > 5
    assert not raised.value.in_doubt
    assert request_count(dps, "DELETE") == 0


async def test_permit_leaves_time_for_the_call(
    dps: DpsStandIn, inject_faults: Callable[..., None]
) -> None:
    """Under overload no permit is used for a call that then times out."""
    inject_faults({"do": {"delayMs": 150}})
    limits = {"DPS_OPERATIONS_PER_MINUTE": "600", "DPS_TIMEOUT_SECONDS": "4"}
    connection = {"DPS_CONNECTION_STRING": dps.connection_string, "DPS_PACING_START": "600"}
    outcomes: Counter[str] = Counter()

    async def query_repeatedly(client: DpsClient) -> None:
        for _ in range(4):
            try:
                await client.enrollments.query({"query": "*"}).page()
                outcomes["answered"] += 1
            except NoPermitError:
                outcomes["limited_client out"] += 1
                await asyncio.sleep(0.05)
            except DpsTimeoutError:
                outcomes["timeout"] += 1

    async with DpsClient(Settings.read(connection | limits)) as client:
        await asyncio.gather(*(query_repeatedly(client) for _ in range(60)))

    assert outcomes["timeout"] == 0
    assert outcomes["limited_client out"] > outcomes["answered"] > 0


async def test_throttling_pauses_all_calls(
    client: DpsClient, dps: DpsStandIn, inject_faults: Callable[..., None]
) -> None:
    """After one 429 no other call is sent until Retry-After has passed."""
    inject_faults({"do": {"status": 429, "headers": {"Retry-After": "60"}}})
    with pytest.raises(DpsThrottledError):
        await client.enrollments.get("dev-1")

    with pytest.raises(NoPermitError) as raised:
        await client.enrollment_groups.get("group-1")

    assert raised.value.retry_after is not None
    assert 30 < raised.value.retry_after <= 61
    assert request_count(dps, "GET") == 1
    assert client.rate_limiter_status.throttled == 1


async def test_context_with_a_permit_sends_one_attempt(
    limited_client: DpsClient, dps: DpsStandIn
) -> None:
    """The first attempt uses the permit of the context; the next needs its own."""
    context = await limited_client.enrollments.acquire_permit(CallContext())
    await limited_client.enrollments.query({"query": "*"}, context=context).page()

    with pytest.raises(NoPermitError):
        await limited_client.enrollments.delete("dev-1", context=context)

    assert request_count(dps, "DELETE") == 0


async def test_permit_is_not_granted_after_the_deadline(limited_client: DpsClient) -> None:
    """`acquire_permit` fails if the permit would come after the deadline."""
    soon = CallContext(deadline=asyncio.get_running_loop().time() + 1)
    await limited_client.enrollments.acquire_permit(soon)

    with pytest.raises(NoPermitError):
        await limited_client.enrollments.acquire_permit(soon)


async def test_context_limits_the_attempts(
    client: DpsClient, dps: DpsStandIn, inject_faults: Callable[..., None]
) -> None:
    """`max_attempts` of the context replaces that of the settings."""
    inject_faults({"do": {"status": 500}})

    with pytest.raises(DpsFaultError):
        await client.enrollments.get("dev-1", context=CallContext(max_attempts=1))

    assert request_count(dps, "GET") == 1
