"""The app is stopped while devices register."""

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from local.dps import Options
from local.stack import Stack
from tests.end_to_end.fleet import DEVICES, EXAMPLE, DecisionLog, Fleet
from tests.secret_factory import symmetric_key

WEBHOOK_LOG = "local.dps.custom_allocation"


@pytest.fixture
def reserved_port() -> Iterator[int]:
    """A port that nobody else is given; who reuses addresses can listen on it."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


async def test_webhook_that_is_down_for_a_while_is_called_again(environment, reserved_port, caplog):
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
            registering = asyncio.create_task(fleet.register(at_once=len(DEVICES)))
            await _until(lambda: len(_called_again(caplog)) >= len(DEVICES))
            assert log.lines == []
            await stack.host.start()
            states = await registering
    finally:
        await stack.stop()

    assert Counter(line["registrationId"] for line in log.lines) == Counter(list(DEVICES))
    assert {id_: state["status"] for id_, state in states.items()} == {
        id_: "failed" if kind.landings[0].hub is None else "assigned"
        for id_, kind in DEVICES.items()
    }


def _called_again(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What the stand-in says of webhooks that do not answer."""
    return [record for record in caplog.records if record.name == WEBHOOK_LOG]


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110 - a log has no event
            await asyncio.sleep(0.01)
