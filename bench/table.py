"""The rows that benchmarks print: our figures, the peer's, their ratio, and the goal for it."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

_NAME_WIDTH = 80
HEAD = f"{'':{_NAME_WIDTH}} {'ours':>9} {'peer':>9} {'ratio':>6} {'spread':>7} {'goal':>7}  met"


@dataclass(frozen=True, kw_only=True)
class Row:
    """Pairs of measurements, one per round, and an optional lower or upper goal for their ratio."""

    name: str
    unit: str
    ours: Sequence[float]
    theirs: Sequence[float]
    at_least: float | None = None
    at_most: float | None = None

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(self._ratios)

    @property
    def spread(self) -> float:
        """Half the 95 % confidence interval of the median, by ranks."""
        ranked = sorted(self._ratios)
        outside = max(0, math.floor((len(ranked) - 1.96 * math.sqrt(len(ranked))) / 2) - 1)
        return (ranked[-1 - outside] - ranked[outside]) / 2

    @property
    def is_met(self) -> bool:
        """Whether the ratio meets its goal."""
        return self._is_within_goal(tolerance=0)

    @property
    def is_missed(self) -> bool:
        """Whether the ratio misses its goal by more than the spread."""
        return not self._is_within_goal(tolerance=self.spread)

    @property
    def goal(self) -> str | None:
        """The goal as text, such as `>= 0.95`."""
        if self.at_least is not None:
            return f">= {self.at_least:g}"
        return None if self.at_most is None else f"<= {self.at_most:g}"

    def as_json(self) -> dict[str, Any]:
        """Returns the row as it is written to bench/results.json."""
        return {
            "name": f"{self.name}, {self.unit}",
            "ours": round(statistics.median(self.ours), 4),
            "peer": round(statistics.median(self.theirs), 4),
            "ratio": round(self.ratio, 4),
            "spread": round(self.spread, 4),
            "goal": self.goal,
            "met": None if self.goal is None else self.is_met,
        }

    def __str__(self) -> str:
        ours, theirs = statistics.median(self.ours), statistics.median(self.theirs)
        met = "" if self.goal is None else ("yes" if self.is_met else "no")
        return (
            f"{f'{self.name}, {self.unit}':{_NAME_WIDTH}} {ours:9.2f} {theirs:9.2f} "
            f"{self.ratio:6.3f} {self.spread:7.3f} {self.goal or 'none':>7}  {met}"
        )

    @property
    def _ratios(self) -> list[float]:
        return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    def _is_within_goal(self, *, tolerance: float) -> bool:
        if self.at_least is not None and self.ratio + tolerance < self.at_least:
            return False
        return self.at_most is None or self.ratio - tolerance <= self.at_most


@dataclass(frozen=True, kw_only=True)
class NotMeasured:
    """A row that this run did not measure, and why."""

    name: str
    goal: str | None
    why: str

    is_missed = False

    def as_json(self) -> dict[str, Any]:
        """Returns the row as it is written to bench/results.json."""
        members = dict.fromkeys(("ours", "peer", "ratio", "spread"))
        return {"name": self.name, **members, "goal": self.goal, "met": None, "why": self.why}

    def __str__(self) -> str:
        return f"{self.name:{_NAME_WIDTH}} not measured (goal {self.goal or 'none'}): {self.why}"


class Failed(NotMeasured):
    """A row whose measurement ended with an error; it fails the run."""

    is_missed = True


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Two figures without a goal; `theirs` is `None` if there is no peer."""

    name: str
    unit: str
    ours: float
    theirs: float | None = None

    is_missed = False

    def as_json(self) -> dict[str, Any]:
        """Returns the row as it is written to bench/results.json."""
        return {
            "name": f"{self.name}, {self.unit}",
            "ours": round(self.ours, 4),
            "peer": None if self.theirs is None else round(self.theirs, 4),
            **dict.fromkeys(("ratio", "spread", "goal", "met")),
        }

    def __str__(self) -> str:
        theirs = "" if self.theirs is None else f"{self.theirs:9.2f}"
        return f"{f'{self.name}, {self.unit}':{_NAME_WIDTH}} {self.ours:9.2f} {theirs}"


Rows = Sequence[Row | Figures | NotMeasured]


def print_table(rows: Rows, note: str) -> int:
    """Prints the table; returns 1 if a goal is missed by more than the spread, else 0."""
    print(HEAD, *rows, note, sep="\n")
    return int(any(row.is_missed for row in rows))


def measure_alternately(
    rounds: int, ours: Callable[[], float], theirs: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """
    Measures both in each round, so that load on the machine affects both.

    Each goes first in every other round. A first round warms up and does not count.
    """
    pairs = [_measure_pair(ours, theirs, is_odd=bool(n % 2)) for n in range(rounds + 1)][1:]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _measure_pair(
    ours: Callable[[], float], theirs: Callable[[], float], *, is_odd: bool
) -> tuple[float, float]:
    if is_odd:
        second = theirs()
        return ours(), second
    return ours(), theirs()
