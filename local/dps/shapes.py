"""What the bodies of the control endpoints must look like: every fault is named, by pointer."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from local.dps.replies import Reply


@dataclass(frozen=True)
class Member:
    """One member: the test that its value must pass, and what to say if it does not."""

    test: Callable[[Any], bool]
    wanted: str
    required: bool = False


class Misshapen(ValueError):  # noqa: N818 - named as what it says of a body
    """A body of the wrong shape; `problems` maps JSON Pointers to what is wanted there."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(", ".join(f"{at or '/'} {wanted}" for at, wanted in problems.items()))
        self.problems = dict(problems)

    def reply(self) -> Reply:
        """The 400 that names them all."""
        return Reply(400, {"errors": self.problems})


def problems(value: Any, members: Mapping[str, Member], at: str = "") -> dict[str, str]:
    """Everything that is wrong with the object `value`, which is at the pointer `at`."""
    if not isinstance(value, dict):
        return {at: "must be an object"}
    found = {f"{at}/{name}": "is not known" for name in value if name not in members}
    for name, member in members.items():
        if name not in value:
            if member.required:
                found[f"{at}/{name}"] = "is required"
        elif not member.test(value[name]):
            found[f"{at}/{name}"] = f"must be {member.wanted}"
    return found


def parse(body: bytes) -> Any:
    """The JSON in `body`, or Misshapen."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Misshapen({"": "must be JSON"}) from error


def is_text(value: Any) -> bool:
    """A string that is not empty."""
    return isinstance(value, str) and value != ""


def is_number(value: Any) -> bool:
    """A finite number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_count(value: Any) -> bool:
    """A whole number from 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def is_true_or_false(value: Any) -> bool:
    """A boolean."""
    return isinstance(value, bool)


def is_object(value: Any) -> bool:
    """An object."""
    return isinstance(value, dict)


def is_positive(value: Any) -> bool:
    """A number above 0."""
    return is_number(value) and value > 0


def is_duration(value: Any) -> bool:
    """A number from 0."""
    return is_number(value) and value >= 0


ANYTHING = Member(lambda _: True, "anything")
TEXT = Member(is_text, "a text")
FLAG = Member(is_true_or_false, "true or false")
OBJECT = Member(is_object, "an object")
COUNT = Member(is_count, "a whole number above 0")
POSITIVE = Member(is_positive, "a number above 0")
MILLISECONDS = Member(is_duration, "a number of milliseconds")
