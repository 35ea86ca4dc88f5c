"""Route templates: `items/{id}`, `{id?}`, `{id:int}`, `{*path}`, `file-{name}.{ext}`.

https://learn.microsoft.com/aspnet/core/fundamentals/routing#route-templates
"""

import inspect
import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

Constraint = Callable[[str], bool]

_TOKEN = re.compile(r"\{([^{}]+)\}|([^{}]+)")
_PARAMETER = re.compile(r"(\*{0,2})([^*:?=(){}]+)((?::\w+(?:\([^()]*\))?)*)(\??)")
_CONSTRAINT = re.compile(r":(\w+)(?:\(([^()]*)\))?")
_GUID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)


def _within(value: str, low: int, high: int) -> bool:
    return bool(re.fullmatch(r"[+-]?[0-9]{1,19}", value)) and low <= int(value) <= high


_INT64 = 2**63
_CONSTRAINTS: Mapping[str, Callable[..., bool]] = {
    "int": lambda value: _within(value, -(2**31), 2**31 - 1),
    "long": lambda value: _within(value, -_INT64, _INT64 - 1),
    "bool": lambda value: value.lower() in {"true", "false"},
    "guid": lambda value: bool(_GUID.fullmatch(value)),
    "alpha": lambda value: bool(re.fullmatch(r"[A-Za-z]*", value)),
    "min": lambda value, low: _within(value, low, _INT64 - 1),
    "max": lambda value, high: _within(value, -_INT64, high),
    "range": _within,
    "minlength": lambda value, low: len(value) >= low,
    "maxlength": lambda value, high: len(value) <= high,
    "length": lambda value, low, high=None: low <= len(value) <= (low if high is None else high),
}


@dataclass(frozen=True)
class Parameter:
    """What one pair of braces says."""

    name: str
    constraints: tuple[Constraint, ...]
    is_optional: bool
    is_catch_all: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads the text between the braces; ValueError if it is not understood."""
        parts = _PARAMETER.fullmatch(text)
        if parts is None:
            raise ValueError(f"the parameter {{{text}}} is not understood")
        stars, name, constraints, optional = parts.groups()
        return cls(
            name=name,
            constraints=tuple(_constraint(*found) for found in _CONSTRAINT.findall(constraints)),
            is_optional=bool(optional),
            is_catch_all=bool(stars),
        )

    def admits(self, value: str) -> bool:
        """Whether `value` meets all constraints."""
        return all(constraint(value) for constraint in self.constraints)


@dataclass(frozen=True)
class RouteTemplate:
    """A template ready to be matched; letters of its literal parts have no case."""

    text: str
    pattern: re.Pattern[str]
    parameters: tuple[Parameter, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a template; ValueError says what is wrong with it."""
        parts = text.removeprefix("/").removesuffix("/").split("/")
        if "" in parts:
            raise ValueError("the separator '/' cannot appear twice in a row")
        segments = [_tokens(part) for part in parts]
        tokens = itertools.chain.from_iterable(segments)
        parameters = [token for token in tokens if isinstance(token, Parameter)]
        _refuse_misplaced(parameters, segments[-1])
        pattern = "".join(_segment_pattern(segment) for segment in segments)
        return cls(
            text="/".join(parts),
            pattern=re.compile(f"{pattern}/?", re.IGNORECASE | re.DOTALL),
            parameters=tuple(parameters),
        )

    def match(self, path: str) -> dict[str, str] | None:
        """The values of the parameters in `path`, which begins with a slash; None: no match."""
        found = self.pattern.fullmatch(path)
        if found is None:
            return None
        pairs = zip(self.parameters, found.groups(), strict=True)
        given = [(parameter, value) for parameter, value in pairs if value]
        if not all(parameter.admits(value) for parameter, value in given):
            return None
        return {parameter.name: value for parameter, value in given}


def _constraint(name: str, arguments: str) -> Constraint:
    if name not in _CONSTRAINTS:
        raise ValueError(f"the constraint {name!r} is not known here")
    check, limits = _CONSTRAINTS[name], [int(limit) for limit in arguments.split(",") if limit]
    try:
        inspect.signature(check).bind("a value", *limits)
    except TypeError as exc:
        raise ValueError(f"the constraint {name!r} has too few or too many limits") from exc
    return lambda value: check(value, *limits)


def _tokens(segment: str) -> list[Parameter | str]:
    if _TOKEN.sub("", segment):
        raise ValueError(f"the braces of {segment!r} do not pair")
    found = _TOKEN.findall(segment)
    return [Parameter.parse(inner) if inner else literal for inner, literal in found]


def _segment_pattern(segment: list[Parameter | str]) -> str:
    match segment:
        case [Parameter(is_catch_all=True)]:
            return "(?:/(.*))?"
        case [Parameter(is_optional=True)]:
            return "(?:/([^/]+))?"
    parts = (re.escape(token) if isinstance(token, str) else "([^/]+)" for token in segment)
    return f"/{''.join(parts)}"


def _refuse_misplaced(parameters: list[Parameter], last: list[Parameter | str]) -> None:
    names = [parameter.name.lower() for parameter in parameters]
    if len(names) != len(set(names)):
        raise ValueError("a parameter stands in it twice")
    for parameter in parameters:
        if (parameter.is_optional or parameter.is_catch_all) and last != [parameter]:
            raise ValueError(f"the parameter {parameter.name!r} must be the last segment")
