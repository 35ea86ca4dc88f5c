"""The table on the terminal: one row for each step, printed when it is done."""

import re
import sys
import textwrap
from itertools import zip_longest
from typing import TextIO

from local.demo.steps import Step
from local.host import environment

WIDTH = 100
_VIA, _WHAT, _RESULT = 8, 35, 41
_MARGIN = 4
_COLOURS = {"ok": "32", "failed": "31", "skipped": "33", "title": "1", "faint": "2"}
_MARKS = {"ok": "✓", "failed": "✗", "skipped": "-"}
_ASCII_MARKS = {"ok": "+", "failed": "X", "skipped": "-"}
# As long as no id or host is without a dash or dot, and every key is.
_KEY_MATERIAL = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}")


class Table:
    """Writes to `out` in columns; in colour on a terminal, unless NO_COLOR is set."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._is_terminal = out.isatty()
        self._coloured = self._is_terminal and environment.setting("NO_COLOR") is None
        utf8 = (out.encoding or "").lower().replace("-", "") == "utf8"
        self._marks = _MARKS if utf8 else _ASCII_MARKS

    def head(self) -> None:
        """The names of the columns."""
        names = f"{'':8}{'via':<{_VIA}} {'what':<{_WHAT}} {'result':<{_RESULT}} {'ms':>5}"
        self.line(f"\n{self._paint(names, 'faint')}")

    def title(self, text: str) -> None:
        """A line above the rows of a chapter."""
        self.line(f"\n{self._paint(text, 'title')}")

    def line(self, text: str) -> None:
        """A line as it is, but for key material, which nothing here may print."""
        print(_KEY_MATERIAL.sub("****", text), file=self._out, flush=True)

    def begin(self, place: str, step: Step) -> None:
        """Shows on a terminal what is under way; the row takes its place."""
        if self._is_terminal:
            print(
                f"  {place} {step.via:<{_VIA}} {step.what[:_WHAT]}\r",
                end="",
                file=self._out,
                flush=True,
            )

    def row(self, place: str, step: Step, *, outcome: str, text: str, seconds: float) -> None:
        """One step that is over; what went wrong has the width of the page."""
        failed = outcome == "failed"
        whats = textwrap.wrap(step.what, _WHAT, break_on_hyphens=False)
        shown = "" if failed else _KEY_MATERIAL.sub("****", text)
        results = textwrap.wrap(shown, _RESULT, break_on_hyphens=False)
        first = results[0] if results else self._paint(f"{outcome:<{_RESULT}}", outcome)
        self.line(
            f"{self._paint(self._marks[outcome], outcome)} {place} {step.via:<{_VIA}} "
            f"{whats[0]:<{_WHAT}} {first:<{_RESULT}} {seconds * 1000:5.0f}"
        )
        indent = len(f"+ {place} {'':{_VIA}} ")
        for what, result in zip_longest(whats[1:], results[1:], fillvalue=""):
            self.line(f"{'':{indent}}{what:<{_WHAT}} {result}".rstrip())
        if failed:
            self._reason(text)

    def _reason(self, text: str) -> None:
        shown = _KEY_MATERIAL.sub("****", text)
        for line in textwrap.wrap(shown, WIDTH - _MARGIN, break_on_hyphens=False):
            self.line(self._paint(f"{'':{_MARGIN}}{line}", "failed"))

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self._coloured else text
