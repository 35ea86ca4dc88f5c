"""What is wrong, or odd, in a policy file: where, and in words."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from shared.documents import pointer


class Finding(NamedTuple):
    """`place` is a JSON Pointer (RFC 6901); `line` counts from 1, and 0 says that none is known."""

    place: str
    line: int
    words: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.words}" if self.line else self.words


def placed(faults: Iterable[tuple[str, str]], text: str) -> tuple[Finding, ...]:
    """Faults by JSON Pointer, with the lines they stand on in a text that is JSON, in its order."""
    faults = tuple(faults)
    lines = _lines(text) if faults else {}
    found = (Finding(place, _line(place, lines), words) for place, words in faults)
    return tuple(sorted(found, key=lambda finding: finding.line))


def _line(place: str, lines: Mapping[str, int]) -> int:
    """Where a value stands; one that is missing, where the value stands that lacks it."""
    while place not in lines:
        place = place.rpartition("/")[0]
    return lines[place]


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s"{}\[\],:]+|[{}\[\],:\n]')


def _lines(text: str) -> dict[str, int]:
    """The line of each value; of a member of an object, the line of its name."""
    lines = {"": 1}
    line = 1
    steps: list[str | int] = []  # to the value that is being read; an int is a place in a list
    fresh = False  # whether a value of a list, or a name, comes next
    for sign in _TOKEN.findall(text):
        if sign == "\n":
            line += 1
        elif sign in "}]":
            steps.pop()
            fresh = False
        elif fresh:
            if isinstance(steps[-1], str):
                steps[-1] = json.loads(sign)
            lines[pointer(*steps)] = line
            fresh = False
        if sign in _FIRST_STEPS:
            steps.append(_FIRST_STEPS[sign])
            fresh = True
        elif sign == ",":
            steps[-1] = steps[-1] + 1 if isinstance(steps[-1], int) else ""
            fresh = True
    return lines


_FIRST_STEPS: Mapping[str, str | int] = {"{": "", "[": 0}
