"""
Nothing is lost: each of thousands of requests ends, once and for all, as its sender is told.

Two requests for one record are never under way together, for Service Bus gives them no order. After
a kill it gives none to a message either that was told and not completed: see `Ledger.is_open`.
"""

import gc
import sys
from collections.abc import Callable, Sequence

import pytest

from local.host.environment import setting
from tests.ledger.checks import wrong
from tests.ledger.plan import plan
from tests.ledger.run import Run, Trouble
from tests.ledger.scene import LARGEST_MESSAGE, Scene, staged
from tests.processes import modules_run

# The SDK leaves the socket of a connection that it has lost to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed:ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
REQUESTS = int(setting("LEDGER_REQUESTS") or 3000)
SEED = int(setting("LEDGER_SEED") or 1)
_REQUESTS_A_ROUND = 3000
_SHOWN = 40
_LEAST_SECONDS, _SECONDS_A_REQUEST = 240, 0.1


@pytest.fixture(autouse=True)
def collected():
    """What the SDK leaves is collected while the filter above is in force."""
    yield
    gc.collect()


async def test_nothing_is_lost_by_a_kill():
    """A few requests while the stand-in refuses and fails, and the host is killed once."""
    await _nothing_is_lost(
        requests=150,
        at_once=40,
        troubles=lambda scene: [(0.0, scene.storm), (0.5, scene.kill)],
    )


@pytest.mark.long
async def test_nothing_is_lost_in_the_worst_of_weathers():
    """Thousands, while all that can fail does, once and again."""
    await _nothing_is_lost(requests=REQUESTS, at_once=1500, troubles=_all_troubles)


def _all_troubles(scene: Scene) -> Sequence[Trouble]:
    round_ = (
        (0.0, scene.storm),
        (0.15, scene.kill),
        (0.15, scene.rain),
        (0.3, scene.outage),
        (0.45, scene.detach),
        (0.65, scene.storm),
        (0.7, scene.kill),
        (0.7, scene.rain),
        (0.85, scene.detach),
    )
    rounds = max(1, REQUESTS // _REQUESTS_A_ROUND)
    return [((n + share) / rounds, happen) for n in range(rounds) for share, happen in round_]


async def _nothing_is_lost(
    *, requests: int, at_once: int, troubles: Callable[[Scene], Sequence[Trouble]]
) -> None:
    stories = plan(requests, seed=SEED, largest_message=LARGEST_MESSAGE)
    async with modules_run() as run, staged(run, seed=SEED) as scene:
        going = Run(scene, stories, at_once=at_once, troubles=troubles(scene))
        await scene.host.start()
        await going.go(within=_LEAST_SECONDS + requests * _SECONDS_A_REQUEST)
        found = await wrong(scene, stories, going.ledger)
        is_open = sum(map(going.ledger.is_open, stories))
        sys.stdout.write(f"{is_open} stories open\n{await scene.statistics()}\n")
    if found:
        shown = "\n".join(found[:_SHOWN])
        pytest.fail(f"{len(found)} lines of the ledger are wrong:\n{shown}", pytrace=False)
