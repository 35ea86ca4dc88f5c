"""
Injected faults: what fails, for which requests, and how often.

    [{"match": {"method": "PUT", "path": "^/enrollments/dev-"}, "every": 3, "do": {"status": 503}}]

`match.path` is a regular expression, searched in the percent-decoded path, ignoring case. A member
that is missing from `match` matches all requests. `every` n selects each n-th matching request,
`times` n the first n, `rate` p each with probability p; without any of the three, all are selected.
Only the first fault in the list that selects a request is applied; the later ones do not count it.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import count
from typing import Any

from local.dps.errors import THROTTLED, ErrorType, gateway_error_body, service_error_body
from local.dps.operations import Response
from local.dps.validation import (
    ANYTHING,
    BOOLEAN,
    MILLISECONDS,
    OBJECT,
    POSITIVE_INTEGER,
    InvalidBodyError,
    Member,
    find_problems,
    is_number,
    is_string,
)

METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS")
STATUSES = range(200, 600)
STATUSES_WITHOUT_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


def _is_pattern(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(re.compile(value))
    except re.error:
        return False


def _is_headers(value: Any) -> bool:
    return isinstance(value, dict) and all(
        is_string(name) and isinstance(text, str) and not re.search(r"[\r\n\0]", name + text)
        for name, text in value.items()
    )


FAULT = {
    "match": OBJECT,
    "do": Member(OBJECT.is_valid, OBJECT.expected, required=True),
    "every": POSITIVE_INTEGER,
    "times": POSITIVE_INTEGER,
    "rate": Member(lambda v: is_number(v) and 0 <= v <= 1, "a probability between 0 and 1"),
}
MATCH = {
    "method": Member(
        lambda v: isinstance(v, str) and v.upper() in METHODS, f"one of {', '.join(METHODS)}"
    ),
    "path": Member(_is_pattern, "a regular expression"),
}
DO = {
    "status": Member(
        lambda v: isinstance(v, int) and v in STATUSES, "a status between 200 and 599"
    ),
    "headers": Member(_is_headers, "an object of strings without line breaks"),
    "body": ANYTHING,
    "html": BOOLEAN,
    "gatewayShape": BOOLEAN,
    "delayMs": MILLISECONDS,
    "resetBefore": BOOLEAN,
    "resetAfterCommit": BOOLEAN,
    "halfAnswer": BOOLEAN,
    "stall": BOOLEAN,
}
# Members of `do` with which the client gets no complete response.
CONNECTION_FAULTS = ("resetBefore", "resetAfterCommit", "halfAnswer", "stall")
# Members of `do` that describe a response.
RESPONSE_MEMBERS = ("status", "headers", "body", "html", "gatewayShape")

_SELECTORS: Mapping[str, Callable[[float, int, random.Random], bool]] = {
    "every": lambda n, nth, _: nth % n == 0,
    "times": lambda n, nth, _: nth <= n,
    "rate": lambda p, _, rng: rng.random() < p,
}


@dataclass(frozen=True)
class Fault:
    """One fault of the list."""

    match: Mapping[str, str]
    do: Mapping[str, Any]
    selector: tuple[str, float] | None  # a key of _SELECTORS and its number

    @property
    def effect(self) -> str:
        """One of CONNECTION_FAULTS, "respond", or "" if the request is only delayed."""
        return next(iter(_effects(self.do)), "")

    def matches(self, method: str, path: str) -> bool:
        """Returns whether a request matches."""
        is_method = self.match.get("method", method).upper() == method
        return is_method and bool(re.search(self.match.get("path", ""), path, re.IGNORECASE))

    def selects(self, nth: int, rng: random.Random) -> bool:
        """Returns whether the fault is applied to the `nth` request that matches it."""
        return self.selector is None or _SELECTORS[self.selector[0]](self.selector[1], nth, rng)


class Faults:
    """The faults in force; `seed` makes those with a rate repeatable."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.replace([])

    def replace(self, faults: Any) -> None:
        """Replaces all faults; raises InvalidBodyError and changes nothing if they are invalid."""
        if not isinstance(faults, list):
            raise InvalidBodyError({"": "must be a list of faults"})
        problems = _find_all_problems(faults)
        if problems:
            raise InvalidBodyError(problems)
        self.documents: list[Any] = faults
        self._faults = [(_create_fault(fault), count(1)) for fault in faults]
        self._rng = random.Random(self._seed)  # noqa: S311 - repeatable on purpose

    def find(self, method: str, path: str) -> Fault | None:
        """Returns the fault to apply to this request, or None, and counts the request."""
        for fault, numbers in self._faults:
            if fault.matches(method, path) and fault.selects(next(numbers), self._rng):
                return fault
        return None


def _find_all_problems(faults: Sequence[Any]) -> dict[str, str]:
    problems: dict[str, str] = {}
    for index, fault in enumerate(faults):
        problems |= _find_fault_problems(fault, f"/{index}")
    return problems


def _find_fault_problems(fault: Any, at: str) -> dict[str, str]:
    problems = find_problems(fault, FAULT, at)
    if problems:
        return problems
    problems = find_problems(fault.get("match", {}), MATCH, f"{at}/match")
    problems |= find_problems(fault["do"], DO, f"{at}/do")
    if sum(name in fault for name in _SELECTORS) > 1:
        problems[at] = f"must have at most one of {', '.join(_SELECTORS)}"
    effects = len(_effects(fault["do"]))
    has_none = effects == 0 and "delayMs" not in fault["do"]
    if not problems and (effects > 1 or has_none):
        allowed = ", ".join((*CONNECTION_FAULTS, "delayMs"))
        problems[f"{at}/do"] = (
            f"must have exactly one of {allowed}, or members of a response: "
            f"{', '.join(RESPONSE_MEMBERS)}"
        )
    return problems


def _effects(do: Mapping[str, Any]) -> list[str]:
    has_response = any(do.get(name) not in (None, False) for name in RESPONSE_MEMBERS)
    return [name for name in CONNECTION_FAULTS if do.get(name)] + ["respond"] * has_response


def _create_fault(document: Mapping[str, Any]) -> Fault:
    selector = next(((name, document[name]) for name in _SELECTORS if name in document), None)
    return Fault(match=document.get("match", {}), do=document["do"], selector=selector)


def create_faulty_response(do: Mapping[str, Any], now: int) -> Response:
    """Returns the response that `do` describes, with defaults for what it leaves out."""
    status = int(do.get("status", 400 if do.get("gatewayShape") else 502))
    headers = dict(do.get("headers", {}))
    phrase = next((s.phrase for s in HTTPStatus if s == status), "Unknown")
    if status in STATUSES_WITHOUT_BODY:
        return Response(status, None, headers)
    if "body" in do:
        body = do["body"]
        return Response(status, body.encode() if isinstance(body, str) else body, headers)
    if do.get("html"):
        page = f"<html><head><title>{phrase}</title></head><body><h1>{phrase}</h1></body></html>"
        return Response(status, page.encode(), {"Content-Type": "text/html"} | headers)
    error = THROTTLED if status == THROTTLED.status else ErrorType(status, status * 1000, phrase)
    create_body = gateway_error_body if do.get("gatewayShape") else service_error_body
    return Response(status, create_body(error, error.message, now), headers)
