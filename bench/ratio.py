"""What benchmarks print: one ratio for each row, measured side by side, and whether it is enough."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

HEAD = f"{'':34} {'ours':>9} {'theirs':>9} {'ratio':>6} {'spread':>7} {'goal':>7}  met"


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

    def __str__(self) -> str:
        ours, theirs = statistics.median(self.ours), statistics.median(self.theirs)
        return (
            f"{f'{self.name}, {self.unit}':34} {ours:9.1f} {theirs:9.1f} {self.ratio:6.2f} "
            f"{self.spread:7.2f} {self._goal}"
        )

    @property
    def _goal(self) -> str:
        if self.at_least is None and self.at_most is None:
            return f"{'none':>7}"
        goal = f"<= {self.at_most}" if self.at_least is None else f">= {self.at_least}"
        return f"{goal:>7}  {'yes' if self.is_met else 'no'}"

    @property
    def _ratios(self) -> list[float]:
        return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    def _keeps(self, slack: float) -> bool:
        if self.at_least is not None and self.ratio + slack < self.at_least:
            return False
        return self.at_most is None or self.ratio - slack <= self.at_most


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
