"""Validation of the bodies of control endpoints: every problem is reported, by JSON Pointer."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Member:
    """The rule for one member of an object; `expected` completes the text "must be ..."."""

    is_valid: Callable[[Any], bool]
    expected: str
    required: bool = False


class InvalidBodyError(ValueError):
    """A body that breaks rules; `problems` maps JSON Pointers to descriptions."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(", ".join(f"{at or '/'} {problem}" for at, problem in problems.items()))
        self.problems = dict(problems)


def parse_json(body: bytes) -> Any:
    """Returns the JSON value in `body`; raises InvalidBodyError."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidBodyError({"": "must be JSON"}) from error


def find_problems(value: Any, members: Mapping[str, Member], at: str = "") -> dict[str, str]:
    """Returns all problems of the object `value`, which stands at the JSON Pointer `at`."""
    if not isinstance(value, dict):
        return {at: "must be an object"}
    unknown = f"is not a member here; must be one of {', '.join(members)}"
    problems = {f"{at}/{name}": unknown for name in value if name not in members}
    for name, member in members.items():
        if name not in value:
            if member.required:
                problems[f"{at}/{name}"] = "is required"
        elif not member.is_valid(value[name]):
            problems[f"{at}/{name}"] = f"must be {member.expected}"
    return problems


def one_of(*names: str) -> Member:
    """Returns the rule that a value is one of these strings."""
    return Member(lambda value: value in names, f"one of {', '.join(names)}")


def is_string(value: Any) -> bool:
    """Returns whether `value` is a string that is not empty."""
    return isinstance(value, str) and value != ""


def is_number(value: Any) -> bool:
    """Returns whether `value` is a finite number; booleans are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_positive_integer(value: Any) -> bool:
    """Returns whether `value` is an integer of 1 or more; booleans are not."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


ANYTHING = Member(lambda _: True, "anything")
STRING = Member(is_string, "a string that is not empty")
BOOLEAN = Member(lambda value: isinstance(value, bool), "true or false")
OBJECT = Member(lambda value: isinstance(value, dict), "an object")
POSITIVE_INTEGER = Member(is_positive_integer, "an integer above 0")
POSITIVE_NUMBER = Member(lambda value: is_number(value) and value > 0, "a number above 0")
MILLISECONDS = Member(
    lambda value: is_number(value) and value >= 0, "a number of milliseconds of 0 or more"
)
