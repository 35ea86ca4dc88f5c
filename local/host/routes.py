"""
HTTP routes: which function a request belongs to, and route templates.

A template is `items/{id}`, `{id?}`, `{id:int}`, `{*path}` or `file-{name}.{ext}`:
https://learn.microsoft.com/aspnet/core/fundamentals/routing#route-templates
"""

import inspect
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from local.host.app import AppFunction

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
class RouteParameter:
    """A parameter of a route template: the text in one pair of braces."""

    name: str
    constraints: tuple[Constraint, ...]
    is_optional: bool
    is_catch_all: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parses the text between the braces; raises ValueError if it is invalid."""
        parts = _PARAMETER.fullmatch(text)
        if parts is None:
            raise ValueError(f"the parameter {{{text}}} is not valid")
        stars, name, constraints, optional = parts.groups()
        return cls(
            name=name,
            constraints=tuple(
                _create_constraint(*match) for match in _CONSTRAINT.findall(constraints)
            ),
            is_optional=bool(optional),
            is_catch_all=bool(stars),
        )

    def accepts(self, value: str) -> bool:
        """Returns whether `value` meets all constraints."""
        return all(constraint(value) for constraint in self.constraints)


@dataclass(frozen=True)
class RouteTemplate:
    """A compiled route template; literal parts match case-insensitively."""

    text: str
    pattern: re.Pattern[str]
    parameters: tuple[RouteParameter, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parses a template; raises ValueError if it is invalid."""
        if text == "/":
            return cls(text="", pattern=re.compile("/?"), parameters=())
        parts = text.removeprefix("/").removesuffix("/").split("/")
        if "" in parts:
            raise ValueError("the separator '/' must not appear twice in a row")
        segments = [_parse_segment(part) for part in parts]
        tokens = itertools.chain.from_iterable(segments)
        parameters = [token for token in tokens if isinstance(token, RouteParameter)]
        _check_parameters(parameters, segments[-1])
        pattern = "".join(_segment_pattern(segment) for segment in segments)
        return cls(
            text="/".join(parts),
            pattern=re.compile(f"{pattern}/?", re.IGNORECASE | re.DOTALL),
            parameters=tuple(parameters),
        )

    def match(self, path: str) -> dict[str, str] | None:
        """Returns the parameters' values if `path`, with its first slash, matches, else None."""
        match = self.pattern.fullmatch(path)
        if match is None:
            return None
        pairs = zip(self.parameters, match.groups(), strict=True)
        given = [(parameter, value) for parameter, value in pairs if value]
        if not all(parameter.accepts(value) for parameter, value in given):
            return None
        return {parameter.name: value for parameter, value in given}


def _create_constraint(name: str, arguments: str) -> Constraint:
    if name not in _CONSTRAINTS:
        allowed = ", ".join(map(repr, _CONSTRAINTS))
        raise ValueError(f"the constraint {name!r} must be one of {allowed}")
    check, limits = _CONSTRAINTS[name], [int(limit) for limit in arguments.split(",") if limit]
    try:
        inspect.signature(check).bind("a value", *limits)
    except TypeError as exc:
        raise ValueError(f"the constraint {name!r} has the wrong number of arguments") from exc
    return lambda value: check(value, *limits)


def _parse_segment(segment: str) -> list[RouteParameter | str]:
    if _TOKEN.sub("", segment):
        raise ValueError(f"the braces of {segment!r} do not match")
    tokens = _TOKEN.findall(segment)
    return [RouteParameter.parse(inner) if inner else literal for inner, literal in tokens]


def _segment_pattern(segment: list[RouteParameter | str]) -> str:
    match segment:
        case [RouteParameter(is_catch_all=True)]:
            return "(?:/(.*))?"
        case [RouteParameter(is_optional=True)]:
            return "(?:/([^/]+))?"
    parts = (re.escape(token) if isinstance(token, str) else "([^/]+)" for token in segment)
    return f"/{''.join(parts)}"


def _check_parameters(parameters: list[RouteParameter], last: list[RouteParameter | str]) -> None:
    names = [parameter.name.lower() for parameter in parameters]
    if len(names) != len(set(names)):
        raise ValueError("a parameter name appears twice")
    for parameter in parameters:
        if (parameter.is_optional or parameter.is_catch_all) and last != [parameter]:
            raise ValueError(f"the parameter {parameter.name!r} must be the last segment")


@dataclass(frozen=True)
class HttpFunction:
    """An HTTP function and its route; no methods means every method."""

    function: AppFunction
    template: RouteTemplate
    methods: tuple[str, ...]
    auth_level: str

    @classmethod
    def from_function(cls, function: AppFunction, *, route_prefix: str) -> Self:
        """Reads the HTTP trigger of `function`; raises ValueError if its route is invalid."""
        route = declared_route(function)
        return cls(
            function=function,
            template=RouteTemplate.parse(f"{route_prefix}/{route}" if route_prefix else route),
            methods=tuple(method.upper() for method in function.trigger.get("methods") or ()),
            auth_level=str(function.trigger.get("authLevel") or "FUNCTION").upper(),
        )

    def accepts(self, method: str) -> bool:
        """Returns whether the function takes requests of `method`."""
        return not self.methods or method.upper() in self.methods

    def conflicts_with(self, other: "HttpFunction") -> bool:
        """Returns whether both functions have the same template and a common method."""
        common = not self.methods or not other.methods or set(self.methods) & set(other.methods)
        return bool(common) and self.template.text.lower() == other.template.text.lower()


@dataclass(frozen=True)
class RouteMatch:
    """The function that a request belongs to, and the values of its route parameters."""

    target: HttpFunction
    route_values: dict[str, str] = field(default_factory=dict)


def declared_route(function: AppFunction) -> str:
    """Returns the route that a function declares; the default is its name."""
    return str(function.trigger.get("route") or function.name)


def find_route(functions: Sequence[HttpFunction], method: str, path: str) -> RouteMatch | None:
    """
    Returns the first function, in the given order, whose methods and template match.

    As in Azure, a literal segment has no precedence over a parameter, and after a function whose
    methods do not match the search continues:
    https://github.com/Azure/azure-functions-host/issues/3153.
    """
    for target in functions:
        values = target.template.match(path) if target.accepts(method) else None
        if values is not None:
            return RouteMatch(target, values)
    return None
