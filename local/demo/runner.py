"""Runs the chapters and prints a table with one row per step."""

import re
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from typing import TextIO

from local.demo.chapters import chapters
from local.demo.checks import describe_failure
from local.demo.context import DemoContext, open_context
from local.demo.examples import Examples
from local.demo.steps import CLIENT_DESCRIPTIONS, Chapter, Step, StepSkippedError
from local.host import environment

WIDTH = 100
_CLIENT, _TITLE, _CHECKED = 8, 35, 41
_MARGIN = 4
_COLOURS = {"passed": "32", "failed": "31", "skipped": "33", "title": "1", "faint": "2"}
_MARKS = {"passed": "✓", "failed": "✗", "skipped": "-"}
_ASCII_MARKS = {"passed": "+", "failed": "X", "skipped": "-"}
# Every key matches; ids and host names do not, because they contain dashes or dots.
_KEY_MATERIAL = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}")


def run_demo(examples: Examples) -> bool:
    """Runs all steps and prints them; returns whether none failed."""
    table = _Table()
    started = time.perf_counter()
    with open_context(examples) as demo:
        _print_introduction(demo, table)
        outcomes = _run_chapters(chapters(demo), table)
        calls = demo.dps_calls()
    seconds = time.perf_counter() - started
    counts = ", ".join(f"{outcomes[outcome]} {outcome}" for outcome in _MARKS)
    table.title(
        f"{outcomes.total()} steps in {seconds:.1f} s: {counts}. DPS received {calls} calls."
    )
    table.line("Use your own files:    .venv/bin/python -m local.demo --examples DIR")
    table.line("Send requests by hand: make run")
    return not outcomes["failed"]


def _print_introduction(demo: DemoContext, table: "_Table") -> None:
    examples = demo.examples
    table.line("Services, all on this machine:")
    table.line(f"  functions     {demo.app_url}, with a function key created for this run")
    table.line(f"  DPS stand-in  {demo.dps_url}, without records")
    table.line(f"  Service Bus   amqp://127.0.0.1:{demo.broker.port}, a broker with empty queues")
    table.line("\nClients:")
    for client, description in CLIENT_DESCRIPTIONS.items():
        table.line(f"  {client:<13} {description}")
    table.line(
        f"\nExample files: enrollments {len(examples.enrollments)}, "
        f"enrollment groups {len(examples.groups)}, bulk operations {len(examples.bulk)}, "
        f"fleets {len(examples.fleets)}, messages {len(examples.messages)}"
    )
    table.head()


def _run_chapters(parts: Sequence[Chapter], table: "_Table") -> Counter[str]:
    """Runs every step; returns how many passed, failed and were skipped."""
    outcomes: Counter[str] = Counter()
    total = sum(len(part.steps) for part in parts)
    for part in parts:
        table.title(part.title)
        for step in part.steps:
            number = f"{outcomes.total() + 1:>{len(str(total))}}/{total}"
            outcomes[_run_step(step, f"{number:>5}", table)] += 1
    return outcomes


def _run_step(step: Step, number: str, table: "_Table") -> str:
    table.begin(number, step)
    started = time.perf_counter()
    try:
        outcome, text = "passed", step.run()
    except StepSkippedError as skipped:
        outcome, text = "skipped", f"skipped: {skipped}"
    except Exception as error:  # noqa: BLE001 - any error fails the step, and the next one runs
        outcome, text = "failed", describe_failure(error)
    table.row(number, step, outcome=outcome, text=text, seconds=time.perf_counter() - started)
    return outcome


class _Table:
    """A table on standard output, in colour on a terminal unless NO_COLOR is set."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._is_terminal = self._out.isatty()
        self._coloured = self._is_terminal and environment.setting("NO_COLOR") is None
        utf8 = (self._out.encoding or "").lower().replace("-", "") == "utf8"
        self._marks = _MARKS if utf8 else _ASCII_MARKS

    def head(self) -> None:
        """Prints the names of the columns."""
        names = f"{'':8}{'client':<{_CLIENT}} {'step':<{_TITLE}} {'checked':<{_CHECKED}} {'ms':>5}"
        self.line(f"\n{self._paint(names, 'faint')}")

    def title(self, text: str) -> None:
        """Prints the title of a chapter."""
        self.line(f"\n{self._paint(text, 'title')}")

    def line(self, text: str) -> None:
        """Prints a line, with keys masked."""
        print(_KEY_MATERIAL.sub("****", text), file=self._out, flush=True)

    def begin(self, number: str, step: Step) -> None:
        """Prints, on a terminal only, the step that runs; its row will overwrite this."""
        if self._is_terminal:
            line = f"  {number} {step.client:<{_CLIENT}} {step.title[:_TITLE]}\r"
            print(line, end="", file=self._out, flush=True)

    def row(self, number: str, step: Step, *, outcome: str, text: str, seconds: float) -> None:
        """Prints a step that has ended; the reason of a failed one follows on separate lines."""
        failed = outcome == "failed"
        titles = textwrap.wrap(step.title, _TITLE, break_on_hyphens=False, break_long_words=False)
        masked = _KEY_MATERIAL.sub("****", text)
        checked = (
            []
            if failed
            else textwrap.wrap(masked, _CHECKED, break_on_hyphens=False, break_long_words=False)
        )
        first = checked[0] if checked else self._paint(f"{outcome:<{_CHECKED}}", outcome)
        self.line(
            f"{self._paint(self._marks[outcome], outcome)} {number} {step.client:<{_CLIENT}} "
            f"{titles[0]:<{_TITLE}} {first:<{_CHECKED}} {seconds * 1000:5.0f}"
        )
        indent = len(f"+ {number} {'':{_CLIENT}} ")
        for title, result in zip_longest(titles[1:], checked[1:], fillvalue=""):
            self.line(f"{'':{indent}}{title:<{_TITLE}} {result}".rstrip())
        reasons = (
            textwrap.wrap(masked, WIDTH - _MARGIN, break_on_hyphens=False, break_long_words=False)
            if failed
            else []
        )
        for reason in reasons:
            self.line(self._paint(f"{'':{_MARGIN}}{reason}", "failed"))

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self._coloured else text
