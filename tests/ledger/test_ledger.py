"""
No message is lost: each of thousands of requests ends with the outcome that its result reports.

Two messages for one record are never in flight together, because Service Bus does not order them. After
a crash it does not order redeliveries either: see `Ledger.is_out_of_order`.
"""

import sys
from collections.abc import Awaitable, Callable, Sequence
from types import MethodType

import pytest

from local.host.environment import setting
from tests.ledger.checks import find_violations
from tests.ledger.messages import Scenario
from tests.ledger.plan import create_plan
from tests.ledger.run import Fault, Run
from tests.ledger.testbed import LARGEST_MESSAGE, Testbed, run_testbed
from tests.local.servicebus.handlers import LEAVES_SOCKETS
from tests.processes import run_modules

pytestmark = LEAVES_SOCKETS
REQUESTS = int(setting("LEDGER_REQUESTS") or 3000)
SEED = int(setting("LEDGER_SEED") or 1)
_REQUESTS_PER_ROUND = 3000
_VIOLATIONS_SHOWN = 40
_MIN_TIMEOUT, _SECONDS_PER_REQUEST = 240, 0.1


async def test_no_message_is_lost_in_a_crash() -> None:
    """A few requests while DPS refuses and fails, and the host crashes once."""
    await _check_run(
        _create_plan(150),
        concurrency=40,
        create_faults=lambda testbed: [(0.0, testbed.fail_and_refuse), (0.5, testbed.crash_host)],
    )


@pytest.mark.parametrize(
    "interrupt",
    [Testbed.refuse_results, pytest.param(Testbed.ignore_results, marks=pytest.mark.long)],
)
async def test_no_result_is_lost_while_its_queue_is_away(
    interrupt: Callable[[Testbed], Awaitable[None]],
) -> None:
    """Nor is an operation repeated: DPS would refuse it, and Service Bus redelivers no message."""
    await _check_run(
        # Service Bus redelivers what is too large until it dead-letters it.
        [each for each in _create_plan(100) if not each.messages[0].is_dead_lettered],
        concurrency=40,
        create_faults=lambda testbed: [(0.0, MethodType(interrupt, testbed))],
        are_redelivered=False,
    )


@pytest.mark.long
async def test_no_message_is_lost_under_all_faults() -> None:
    """Thousands of requests while every fault is injected, some repeatedly."""
    await _check_run(_create_plan(REQUESTS), concurrency=1500, create_faults=_create_all_faults)


def _create_plan(requests: int) -> list[Scenario]:
    return create_plan(requests, seed=SEED, largest_message=LARGEST_MESSAGE)


def _create_all_faults(testbed: Testbed) -> Sequence[Fault]:
    one_round = (
        (0.0, testbed.fail_and_refuse),
        (0.15, testbed.crash_host),
        (0.15, testbed.fail_and_throttle),
        (0.3, testbed.interrupt_dps),
        (0.4, testbed.refuse_results),
        (0.45, testbed.detach_links),
        (0.65, testbed.fail_and_refuse),
        (0.7, testbed.crash_host),
        (0.7, testbed.fail_and_throttle),
        (0.85, testbed.detach_links),
    )
    rounds = max(1, REQUESTS // _REQUESTS_PER_ROUND)
    return [((n + share) / rounds, inject) for n in range(rounds) for share, inject in one_round]


async def _check_run(
    plan: Sequence[Scenario],
    *,
    concurrency: int,
    create_faults: Callable[[Testbed], Sequence[Fault]],
    are_redelivered: bool = True,
) -> None:
    requests = sum(message.copies for scenario in plan for message in scenario.messages)
    async with run_modules() as start_module, run_testbed(start_module, seed=SEED) as testbed:
        run = Run(testbed, plan, concurrency=concurrency, faults=create_faults(testbed))
        await testbed.host.start()
        await run.execute(timeout=_MIN_TIMEOUT + requests * _SECONDS_PER_REQUEST)
        violations = await find_violations(testbed, plan, run.ledger)
        if testbed.broker.statistics.abandoned and not are_redelivered:
            violations.append("messages were redelivered")
        out_of_order = sum(map(run.ledger.is_out_of_order, plan))
        statistics = await testbed.describe_statistics()
        sys.stdout.write(f"{out_of_order} scenarios out of order\n{statistics}\n")
    if violations:
        shown = "\n".join(violations[:_VIOLATIONS_SHOWN])
        pytest.fail(f"{len(violations)} violations:\n{shown}", pytrace=False)
