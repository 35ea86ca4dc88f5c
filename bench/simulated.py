"""
Processes that share DPS's quota unseen, simulated with the app's own pacer: python bench/simulated.py.

The rows of bench/pacing.py, each with the worst of its runs. With QUICK those of one and of forty
processes that are told when to come back.
"""

import sys
from collections.abc import Iterator

from pacing import CROWD, Case, cases, worst
from quick import is_quick
from ratio import Row, Rows, shown

NOTE = "simulated: the app's own pacer on a virtual clock; peer: the quota, all calls"


def rows() -> Rows:
    """Two for each case: what of the quota was admitted, and what of the calls was refused."""
    return [row for case in cases() if not is_quick() or _is_first(case) for row in _rows(case)]


def _is_first(case: Case) -> bool:
    is_told = case.quota.count == "calls" and case.quota.retryAfter and case.begin != 1
    return is_told and case.processes in (1, CROWD)


def _rows(case: Case) -> Iterator[Row]:
    found = worst(case)
    least = case.goal.admitted if case.goal else None
    most = case.goal.refused if case.goal else None
    yield _row(f"simulated {case}", "of the quota", found.admitted, at_least=least)
    yield _row(f"simulated 429s, {case}", "of calls", found.refused, at_most=most)


def _row(
    name: str,
    unit: str,
    share: float,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Row:
    return Row(name=name, unit=unit, ours=[share], theirs=[1.0], at_least=at_least, at_most=at_most)


if __name__ == "__main__":
    sys.exit(shown(rows(), NOTE))
