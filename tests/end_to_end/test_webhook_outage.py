"""An outage of the app while devices register."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from local.dps import Options
from local.stack import Stack
from tests.end_to_end.fleet import DEVICES, EXAMPLE, DecisionLog, Fleet
from tests.processes import reserve_port
from tests.secret_factory import symmetric_key

WEBHOOK_LOG = "local.dps.allocation"


@pytest.fixture
def reserved_port() -> Iterator[int]:
    """A port on which the app can listen again after the outage."""
    with reserve_port() as port:
        yield port


@pytest.mark.long
async def test_devices_are_assigned_after_an_outage_of_the_webhook(
    environment: pytest.MonkeyPatch, reserved_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    """All devices register while the app is stopped, and are assigned when it is back."""
    environment.setenv("ALLOCATION_POLICIES_FILE", str(EXAMPLE))
    caplog.set_level("INFO", logger=WEBHOOK_LOG)
    key = symmetric_key()
    options = Options(port=0, tls_port=None, retry_after_seconds=1, retry_scale=0.05)
    stack = Stack(options, functions_port=reserved_port, key=key)
    await stack.start()
    try:
        fleet = await asyncio.to_thread(Fleet.enroll, stack, key)
        await stack.host.stop()
        with DecisionLog() as log:
            registering = asyncio.create_task(fleet.register(concurrency=len(DEVICES)))
            await _wait_until(lambda: len(_failed_calls(caplog)) >= len(DEVICES))
            assert log.lines == []
            await stack.host.start()
            states = await registering
    finally:
        await stack.stop()

    assert Counter(line["registrationId"] for line in log.lines) == Counter(list(DEVICES))
    assert {id_: state["status"] for id_, state in states.items()} == {
        id_: "failed" if kind.assignments[0].hub is None else "assigned"
        for id_, kind in DEVICES.items()
    }


def _failed_calls(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Returns the stand-in's log records of webhook calls that failed."""
    return [record for record in caplog.records if record.name == WEBHOOK_LOG]


async def _wait_until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_true():  # noqa: ASYNC110  a log has no event
            await asyncio.sleep(0.01)
