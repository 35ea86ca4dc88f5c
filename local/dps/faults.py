"""Faults to order: what goes wrong, with which requests, how often.

    [{"match": {"method": "PUT", "path": "^/enrollments/dev-"}, "every": 3, "do": {"status": 503}}]

`match.path` is a regular expression, searched in the percent-decoded path without case; a member
of `match` that is missing matches all. `every` n: each n-th matching request; `times` n: the
first n; `rate` p: with this probability; none of the three: always. The first fault of the list
that strikes is done to a request, and those after it do not count it.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from local.dps.shapes import (
    ANYTHING,
    COUNT,
    FLAG,
    MILLISECONDS,
    OBJECT,
    Member,
    Misshapen,
    is_number,
    is_text,
    problems,
)

METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS")
STATUSES = range(200, 600)


def _is_pattern(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(re.compile(value))
    except re.error:
        return False


def _are_headers(value: Any) -> bool:
    return isinstance(value, dict) and all(
        is_text(name) and isinstance(text, str) and not re.search(r"[\r\n\0]", name + text)
        for name, text in value.items()
    )


FAULT = {
    "match": OBJECT,
    "do": Member(OBJECT.test, OBJECT.wanted, required=True),
    "every": COUNT,
    "times": COUNT,
    "rate": Member(lambda v: is_number(v) and 0 <= v <= 1, "a probability between 0 and 1"),
}
MATCH = {
    "method": Member(lambda v: isinstance(v, str) and v.upper() in METHODS, "an HTTP method"),
    "path": Member(_is_pattern, "a regular expression"),
}
DO = {
    "status": Member(
        lambda v: isinstance(v, int) and v in STATUSES, "a status between 200 and 599"
    ),
    "headers": Member(_are_headers, "an object of texts"),
    "body": ANYTHING,
    "html": FLAG,
    "gatewayShape": FLAG,
    "delayMs": MILLISECONDS,
    "resetBefore": FLAG,
    "resetAfterCommit": FLAG,
    "halfAnswer": FLAG,
    "stall": FLAG,
}
# How a request may end; with none of these and no answer it only waits `delayMs`.
RUDE_ENDINGS = ("resetBefore", "resetAfterCommit", "halfAnswer", "stall")
ANSWERS = ("status", "headers", "body", "html", "gatewayShape")


_STRIKES: Mapping[str, Callable[[float, int, random.Random], bool]] = {
    "every": lambda n, nth, _: nth % n == 0,
    "times": lambda n, nth, _: nth <= n,
    "rate": lambda p, _, rng: rng.random() < p,
}


@dataclass(frozen=True)
class Fault:
    """One fault as it was ordered."""

    match: Mapping[str, str]
    do: Mapping[str, Any]
    when: tuple[str, float] | None  # a key of _STRIKES and its number

    @property
    def ending(self) -> str:
        """One of RUDE_ENDINGS, "answer", or "" for a mere delay."""
        return next(iter(_endings(self.do)), "")

    def matches(self, method: str, path: str) -> bool:
        """Whether the fault is meant for such a request."""
        is_method = self.match.get("method", method).upper() == method
        return is_method and bool(re.search(self.match.get("path", ""), path, re.IGNORECASE))

    def strikes(self, nth: int, rng: random.Random) -> bool:
        """Whether it is done to the `nth` request that it matches."""
        return self.when is None or _STRIKES[self.when[0]](self.when[1], nth, rng)


class Faults:
    """The faults in force."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.replace([])

    def replace(self, ordered: Any) -> None:
        """Puts these in the place of all; Misshapen names everything that is wrong with them."""
        if not isinstance(ordered, list):
            raise Misshapen({"": "must be a list of faults"})
        wrong = _all_problems(ordered)
        if wrong:
            raise Misshapen(wrong)
        self.ordered: list[Any] = ordered
        self._faults = [(_fault(fault), count(1)) for fault in ordered]
        self._rng = random.Random(self._seed)  # noqa: S311 - repeatable on purpose

    def next_for(self, method: str, path: str) -> Fault | None:
        """The fault to do to this request, if any."""
        for fault, numbers in self._faults:
            if fault.matches(method, path) and fault.strikes(next(numbers), self._rng):
                return fault
        return None


def _all_problems(ordered: Sequence[Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for index, fault in enumerate(ordered):
        found |= _problems(fault, f"/{index}")
    return found


def _problems(fault: Any, at: str) -> dict[str, str]:
    found = problems(fault, FAULT, at)
    if found:
        return found
    found = problems(fault.get("match", {}), MATCH, f"{at}/match")
    found |= problems(fault["do"], DO, f"{at}/do")
    if sum(name in fault for name in _STRIKES) > 1:
        found[at] = "must have one of every, times and rate at most"
    endings = len(_endings(fault["do"]))
    does_nothing = endings == 0 and "delayMs" not in fault["do"]
    if not found and (endings > 1 or does_nothing):
        found[f"{at}/do"] = f"must have one of {', '.join(RUDE_ENDINGS)}, or an answer, or delayMs"
    return found


def _endings(do: Mapping[str, Any]) -> list[str]:
    answers = any(do.get(name) not in (None, False) for name in ANSWERS)
    return [name for name in RUDE_ENDINGS if do.get(name)] + ["answer"] * answers


def _fault(ordered: Mapping[str, Any]) -> Fault:
    when = next(((name, ordered[name]) for name in _STRIKES if name in ordered), None)
    return Fault(match=ordered.get("match", {}), do=ordered["do"], when=when)
