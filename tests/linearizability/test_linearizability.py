"""
Every answer is true: concurrent writes of few records, through lost responses, failures and delays.

Each answer is compared with the history of commits that the DPS stand-in keeps. As every write has
content and a request id of its own, each commit belongs to one operation, so that no search for a
possible order is needed, as general checkers of linearizability make it.
"""

import asyncio
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from itertools import count

import httpx
import pytest

from local.dps import Options
from local.host.environment import setting
from local.stack import UNPACED, Stack
from shared.dps import CallContext, DpsClient
from shared.errors import DpsError
from shared.settings import Settings
from tests.linearizability.checks import History, find_false_answers
from tests.linearizability.operations import IDS, KnownEtags, Operation, Writer
from tests.shared.dps.documents import enrollment

SEED = int(setting("LINEARIZABILITY_SEED") or 1)
OPERATIONS = int(setting("LINEARIZABILITY_OPERATIONS") or 6000)
# The stand-in keeps ten thousand requests.
_PER_ROUND = 500
_WRITERS = 20
_STRANGERS = "stranger"
_SHOWN = 20
_FAULTS = [
    {"rate": 0.10, "do": {"resetAfterCommit": True}},
    {"rate": 0.03, "do": {"halfAnswer": True}},
    {"rate": 0.05, "do": {"resetBefore": True}},
    {"rate": 0.05, "do": {"status": 503}},
    {"rate": 0.15, "do": {"delayMs": 30}},
]


@pytest.fixture
async def stack(environment: pytest.MonkeyPatch) -> AsyncIterator[Stack]:
    """The app and the stand-in, on the event loop of the test."""
    environment.setenv("DPS_MAX_ATTEMPTS", "8")
    stack = Stack(Options(port=0, tls_port=None, seed=SEED), functions_port=0)
    await stack.start()
    yield stack
    await stack.stop()


async def test_answers_are_true(stack: Stack) -> None:
    """A few hundred operations."""
    await _check_rounds(stack, operations=300)


@pytest.mark.long
async def test_thousands_of_answers_are_true(stack: Stack) -> None:
    """Thousands of operations; `LINEARIZABILITY_OPERATIONS` and `_SEED` set others."""
    await _check_rounds(stack, operations=OPERATIONS)


async def _check_rounds(stack: Stack, *, operations: int) -> None:
    answered: Counter[str] = Counter()
    false_answers: list[str] = []
    async with httpx.AsyncClient(base_url=stack.host.url, timeout=120) as app:
        for number, size in enumerate(_sizes(operations)):
            done = await _run_round(stack, app, size, seed=f"{SEED}-{number}")
            history = History(stack.dps.requests, done, strangers=_STRANGERS)
            false_answers += find_false_answers(done, history)
            answered.update(f"{each.kind} {each.answer.code or 'succeeded'}" for each in done)
    sys.stdout.write(f"{answered.total()} operations: {dict(sorted(answered.items()))}\n")
    if false_answers:
        shown = "\n".join(false_answers[:_SHOWN])
        pytest.fail(f"{len(false_answers)} false answers:\n{shown}", pytrace=False)


def _sizes(operations: int) -> list[int]:
    full, rest = divmod(operations, _PER_ROUND)
    return [_PER_ROUND] * full + [rest] * bool(rest)


async def _run_round(
    stack: Stack, app: httpx.AsyncClient, operations: int, *, seed: str
) -> list[Operation]:
    async with httpx.AsyncClient(base_url=stack.dps.url) as control:
        (await control.post("/_reset")).raise_for_status()
        (await control.put("/_faults", json=_FAULTS)).raise_for_status()
    etags = KnownEtags()
    writers = [Writer(app, f"writer-{n}", etags, f"{seed}-{n}") for n in range(_WRITERS)]
    share = -(-operations // _WRITERS)
    strangers = asyncio.ensure_future(_write_as_stranger(stack, seed))
    try:
        await asyncio.gather(*(writer.run(share) for writer in writers))
    finally:
        strangers.cancel()
        await asyncio.gather(strangers, return_exceptions=True)
    return [operation for writer in writers for operation in writer.operations]


async def _write_as_stranger(stack: Stack, seed: str) -> None:
    """Writes now and then, past the app: until it is cancelled."""
    rng = random.Random(seed)  # noqa: S311  repeatable on purpose
    settings = Settings.read(
        {**UNPACED, "DPS_CONNECTION_STRING": stack.dps.connection_string, "DPS_MAX_ATTEMPTS": "1"}
    )
    async with DpsClient(settings) as client:
        for number in count():
            with suppress(DpsError):
                await _write(client, rng, f"{_STRANGERS}-{number}")
                await asyncio.sleep(rng.uniform(0, 0.2))


def _write(client: DpsClient, rng: random.Random, name: str) -> Awaitable[object]:
    """Creates, replaces or deletes a record."""
    context, id = CallContext(client_request_id=name), rng.choice(IDS)
    if rng.random() < 0.3:
        return client.enrollments.delete(id, context=context)
    return client.enrollments.create_or_update(
        id, enrollment(id, deviceId=name), if_match=rng.choice([None, "*"]), context=context
    )
