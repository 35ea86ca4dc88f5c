"""
Memory of the app's process after many messages, and what it leaves open: python bench/memory.py.

Without throttling and delays, so the messages are handled as fast as the machine can. It takes
minutes; with QUICK it is left out.
"""

import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from deployment import NO_DELAYS, QUEUE, WITHOUT_RATE_LIMIT, Deployment, deploy
from harness import Child, is_quick
from table import NotMeasured, Row, Rows, print_table

GOAL = 1.1
NOTE = "resident memory of the process, tasks and sockets with the queue empty; the same process"
_FEW, _MANY = 10_000, 100_000
_STEP = 10_000
_DRAIN_TIMEOUT = 900.0
# Connections unused for 15 seconds are closed by a check that runs every 15 seconds.
_IDLE_SECONDS = 35.0
_NAME = "memory after 100,000 messages; peer: after 10,000"


def rows() -> Rows:
    """Returns rows for memory, tasks, sockets, locks and lost messages."""
    if is_quick():
        why = "takes minutes: measured without QUICK"
        return [NotMeasured(name=_NAME, goal=f"<= {GOAL}", why=why)]
    with deploy(NO_DELAYS) as deployment:
        host = deployment.start_app(WITHOUT_RATE_LIMIT)
        _drain(deployment, _FEW)
        few = _read_idle_state(host)
        for messages in range(_FEW, _MANY, _STEP):
            _drain(deployment, messages + _STEP)
        many = _read_idle_state(host)
        return [*_process_rows(many, few), *_queue_rows(deployment)]


def _process_rows(many: Mapping[str, Any], few: Mapping[str, Any]) -> Iterator[Row]:
    yield _row(_NAME, "MB", many["resident"] / 1e6, few["resident"] / 1e6, GOAL)
    for unit in ("tasks", "sockets"):
        name = f"{unit} after 100,000 messages; peer: after 10,000"
        yield _row(name, unit, many[unit], few[unit], 1)


def _queue_rows(deployment: Deployment) -> Iterator[Row]:
    # Plus 1, because 0 to 0 has no ratio.
    locked = deployment.broker.read_state()["locked"]
    lost = _MANY - deployment.dps.stats().devices
    yield _row("locks left after 100,000 messages, plus 1", "locks", locked + 1, 1, 1)
    yield _row("messages lost of 100,000, plus 1", "messages", lost + 1, 1, 1)


def _row(name: str, unit: str, ours: float, theirs: float, at_most: float) -> Row:
    return Row(name=name, unit=unit, ours=[ours], theirs=[theirs], at_most=at_most)


def _drain(deployment: Deployment, total: int) -> None:
    """Sends requests up to `total` and waits until all are completed; raises TimeoutError."""
    deployment.send_requests(total - deployment.sent)
    deadline = time.monotonic() + _DRAIN_TIMEOUT
    while deployment.broker.read_state()["completed"] < total:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{QUEUE} is not empty")
        time.sleep(0.5)


def _read_idle_state(host: Child) -> Mapping[str, Any]:
    time.sleep(_IDLE_SECONDS)
    return host.read_state()


if __name__ == "__main__":
    sys.exit(print_table(rows(), NOTE))
