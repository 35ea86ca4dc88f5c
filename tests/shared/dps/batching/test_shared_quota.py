"""Bulk operations over HTTP beside queue messages, in virtual time, under one tight quota."""

import asyncio
from collections.abc import Iterator
from itertools import count

import httpx
import pytest

from shared.dps import CallContext
from shared.dps.batching.bulk_operation import BulkOperation
from shared.dps.batching.items import ItemResult
from shared.dps.batching.writer import BatchWriter
from shared.dps.models import INDIVIDUAL_ENROLLMENT
from shared.dps.resources import EnrollmentResource
from shared.dps.transport import Transport
from shared.errors import NotAttemptedError
from shared.settings import Settings
from tests.secret_factory import symmetric_key
from tests.shared.dps.batching.changes import CREATE, apply_all, change
from tests.shared.dps.documents import enrollments
from tests.shared.dps.rate_limits import MINUTE, in_virtual_time, now

QUOTA, MESSAGES = 60, 100
TIMEOUT = 180.0
CALL_SECONDS = 0.4
_POSTPONED_SECONDS = 30.0


class ThrottledDps(httpx.AsyncBaseTransport):
    """A DPS that applies all that its quota admits, `QUOTA` calls in each minute."""

    def __init__(self) -> None:
        self._window, self._calls = -1.0, 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(CALL_SECONDS)
        window = now() // MINUTE
        if window != self._window:
            self._window, self._calls = window, 0
        self._calls += 1
        if self._calls > QUOTA:
            return httpx.Response(429, headers={"Retry-After": "5"}, request=request)
        return httpx.Response(200, json={"errors": [], "isSuccessful": True}, request=request)


def new_resource() -> EnrollmentResource:
    """Returns individual enrollments of a throttled DPS."""
    connection = f"HostName=localhost;SharedAccessKeyName=owner;SharedAccessKey={symmetric_key()}"
    settings = Settings.read({"DPS_CONNECTION_STRING": connection})
    return EnrollmentResource(Transport(settings, http=ThrottledDps()), INDIVIDUAL_ENROLLMENT)


async def send_messages(resource: EnrollmentResource, numbers: Iterator[int]) -> None:
    """Processes messages, one after the other, of which any number is waiting."""
    writer = BatchWriter(resource)
    while True:
        (result,) = await apply_all(writer, [change(CREATE, f"m-{next(numbers)}", seconds=60)])
        if isinstance(result, Exception):
            await asyncio.sleep(_POSTPONED_SECONDS)


async def run_bulk(resource: EnrollmentResource, records: int) -> list[ItemResult]:
    document = {"mode": "create", "enrollments": enrollments(records)}
    operation = await BulkOperation.read(resource, document, size=0, context=CallContext())
    return await operation.run(timeout=TIMEOUT)


@pytest.mark.parametrize("records", [500, 2000], ids=["fits", "does not fit"])
def test_bulk_operation_waits_beside_messages_until_its_timeout(
    records: int,
) -> None:
    """No record is given up before the timeout, however many messages wait for the same quota."""

    @in_virtual_time
    async def run() -> None:
        resource, numbers, started = new_resource(), count(), now()
        tasks = [asyncio.ensure_future(send_messages(resource, numbers)) for _ in range(MESSAGES)]
        results = await run_bulk(resource, records)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        errors = {type(result.error) for result in results if result.error}
        assert errors <= {NotAttemptedError}
        assert not errors or now() - started >= TIMEOUT

    run()
