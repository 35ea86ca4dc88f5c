"""Progress on standard error: a bar on a terminal, nothing elsewhere."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich import progress
from rich.text import Text

from cli.output import clean, messages


class _Rate(progress.ProgressColumn):
    def render(self, task: progress.Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


class Progress:
    """
    A bar with rate and the remaining time at the pace so far; without `total` a count.

    On a terminal only: a log file needs no bar.
    """

    def __init__(self, title: str, *, total: int | None, is_shown: bool = True) -> None:
        columns = [progress.TextColumn("{task.description}", markup=False)]
        if total is not None:
            columns.append(progress.BarColumn(bar_width=30))  # type: ignore[arg-type]
        columns += [progress.MofNCompleteColumn(), _Rate()]  # type: ignore[list-item]
        if total is not None:
            columns.append(progress.TimeRemainingColumn(elapsed_when_finished=True))  # type: ignore[arg-type]
        columns.append(progress.TextColumn("{task.fields[counts]}", markup=False))
        console = messages()
        self._bar = progress.Progress(
            *columns,
            console=console,
            transient=total is None,
            disable=not (is_shown and console.is_terminal),
            speed_estimate_period=60,
        )
        self._task = self._bar.add_task(title, total=total, counts="")

    def __enter__(self) -> Self:
        """Shows the bar."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leaves the bar as it is."""
        self._bar.stop()

    def advance(self, count: int = 1) -> None:
        """Counts rows."""
        if not self._bar.disable:
            self._bar.advance(self._task, count)

    def note(self, text: str) -> None:
        """Prints a message above the bar."""
        self._bar.console.print(Text(clean(text)))

    def show(self, counts: Mapping[str, int]) -> None:
        """Shows how many rows have each outcome."""
        outcomes = {name: counts[name] for name in ("done", "unchanged", "failed")}
        text = "  ".join(f"{count:,} {name}" for name, count in outcomes.items() if count)
        self._bar.update(self._task, completed=sum(outcomes.values()), counts=text)
