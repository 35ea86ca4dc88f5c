"""
What the app's process holds after many messages, and what it leaves behind: python bench/memory.py.

Nothing is throttled and nothing is far away, so the messages come as fast as the machine bears. It
takes minutes; QUICK leaves it out.
"""

import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from processes import Child
from quick import is_quick
from ratio import NotMeasured, Row, Rows, shown
from scene import NEAR, QUEUE, UNPACED, Scene, scene

GOAL = 1.1
NOTE = "resident memory of the process, tasks and sockets with the queue empty; the same process"
_FEW, _MANY = 10_000, 100_000
_AT_A_TIME = 10_000
_WITHIN = 900.0
# Connections that nobody has used for a quarter of a minute are closed, which is looked at as often.
_SETTLED = 35.0
_NAME = "memory after 100,000 messages; peer: after 10,000"


def rows() -> Rows:
    """Memory, tasks, sockets and locks."""
    if is_quick():
        why = "takes minutes: measured without QUICK"
        return [NotMeasured(name=_NAME, goal=f"<= {GOAL}", why=why)]
    with scene(NEAR) as its:
        host = its.host(UNPACED)
        _drain(its, _FEW)
        few = _settled(host)
        for messages in range(_FEW, _MANY, _AT_A_TIME):
            _drain(its, messages + _AT_A_TIME)
        many = _settled(host)
        return [*_of_the_process(many, few), *_of_the_queue(its)]


def _of_the_process(many: Mapping[str, Any], few: Mapping[str, Any]) -> Iterator[Row]:
    yield _row(_NAME, "MB", many["resident"] / 1e6, few["resident"] / 1e6, GOAL)
    for what in ("tasks", "sockets"):
        name = f"{what} after 100,000 messages; peer: after 10,000"
        yield _row(name, what, many[what], few[what], 1)


def _of_the_queue(its: Scene) -> Iterator[Row]:
    # And one, for nothing has no ratio to nothing.
    locked, lost = its.broker.look()["locked"], _MANY - its.dps.stats().devices
    yield _row("locks left after 100,000 messages, and one", "locks", locked + 1, 1, 1)
    yield _row("messages lost of 100,000, and one", "messages", lost + 1, 1, 1)


def _row(name: str, unit: str, ours: float, theirs: float, at_most: float) -> Row:
    return Row(name=name, unit=unit, ours=[ours], theirs=[theirs], at_most=at_most)


def _drain(its: Scene, messages: int) -> None:
    """Returns when so many messages in all are completed; TimeoutError if they are not in time."""
    its.feed(messages - its.fed)
    deadline = time.monotonic() + _WITHIN
    while its.broker.look()["completed"] < messages:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{QUEUE} is not empty")
        time.sleep(0.5)


def _settled(host: Child) -> Mapping[str, Any]:
    time.sleep(_SETTLED)
    return host.look()


if __name__ == "__main__":
    sys.exit(shown(rows(), NOTE))
