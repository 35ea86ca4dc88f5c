"""What benchmarks print: one ratio for each row, measured side by side, and whether it is enough."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

_NAME = 76
HEAD = f"{'':{_NAME}} {'ours':>9} {'peer':>9} {'ratio':>6} {'spread':>7} {'goal':>7}  met"


@dataclass(frozen=True, kw_only=True)
class Row:
    """Pairs of measurements, each pair taken in one round; a goal is a least or a most, or there is none."""

    name: str
    unit: str
    ours: Sequence[float]
    theirs: Sequence[float]
    at_least: float | None = None
    at_most: float | None = None

    @property
    def ratio(self) -> float:
        """The median of the rounds."""
        return statistics.median(self._ratios)

    @property
    def spread(self) -> float:
        """How far the median may be from the true one: half its interval of 95 %, by ranks."""
        ranked = sorted(self._ratios)
        outside = max(0, math.floor((len(ranked) - 1.96 * math.sqrt(len(ranked))) / 2) - 1)
        return (ranked[-1 - outside] - ranked[outside]) / 2

    @property
    def is_met(self) -> bool:
        """Whether the ratio keeps to its goal."""
        return self._keeps(0)

    @property
    def is_missed(self) -> bool:
        """Whether it misses it by more than the spread."""
        return not self._keeps(self.spread)

    @property
    def goal(self) -> str | None:
        """The goal in words, if there is one."""
        if self.at_least is not None:
            return f">= {self.at_least:g}"
        return None if self.at_most is None else f"<= {self.at_most:g}"

    def as_json(self) -> dict[str, Any]:
        """The row for whoever reads it by program."""
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
        told = "" if self.goal is None else ("yes" if self.is_met else "no")
        return (
            f"{f'{self.name}, {self.unit}':{_NAME}} {ours:9.2f} {theirs:9.2f} {self.ratio:6.3f} "
            f"{self.spread:7.3f} {self.goal or 'none':>7}  {told}"
        )

    @property
    def _ratios(self) -> list[float]:
        return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    def _keeps(self, slack: float) -> bool:
        if self.at_least is not None and self.ratio + slack < self.at_least:
            return False
        return self.at_most is None or self.ratio - slack <= self.at_most


@dataclass(frozen=True, kw_only=True)
class NotMeasured:
    """A row that this run has no figures for, and why."""

    name: str
    goal: str | None
    why: str

    is_missed = False

    def as_json(self) -> dict[str, Any]:
        """The row for whoever reads it by program."""
        members = dict.fromkeys(("ours", "peer", "ratio", "spread"))
        return {"name": self.name, **members, "goal": self.goal, "met": None, "why": self.why}

    def __str__(self) -> str:
        return f"{self.name:{_NAME}} not measured (goal {self.goal or 'none'}): {self.why}"


class Failed(NotMeasured):
    """What should have been measured."""

    is_missed = True


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Two figures to be seen side by side, without a goal; there is no peer where `theirs` is `None`."""

    name: str
    unit: str
    ours: float
    theirs: float | None = None

    is_missed = False

    def as_json(self) -> dict[str, Any]:
        """The row for whoever reads it by program."""
        members = {"ours": self.ours, "peer": self.theirs}
        found = {name: None if it is None else round(it, 4) for name, it in members.items()}
        return {
            "name": f"{self.name}, {self.unit}",
            **found,
            **dict.fromkeys(("ratio", "spread", "goal", "met")),
        }

    def __str__(self) -> str:
        theirs = "" if self.theirs is None else f"{self.theirs:9.2f}"
        return f"{f'{self.name}, {self.unit}':{_NAME}} {self.ours:9.2f} {theirs}"


Rows = Sequence[Row | Figures | NotMeasured]


def shown(rows: Rows, note: str) -> int:
    """Prints the table of one script; 1 if a goal is missed by more than the spread."""
    print(HEAD, *rows, note, sep="\n")
    return int(any(row.is_missed for row in rows))


def alternating(
    rounds: int, ours: Callable[[], float], theirs: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """Measures both by turns, so that a busy machine hits both; a first round is thrown away."""
    found = [_pair(ours, theirs, is_odd=bool(turn % 2)) for turn in range(rounds + 1)][1:]
    return [pair[0] for pair in found], [pair[1] for pair in found]


def _pair(
    ours: Callable[[], float], theirs: Callable[[], float], *, is_odd: bool
) -> tuple[float, float]:
    if is_odd:
        second = theirs()
        return ours(), second
    return ours(), theirs()
