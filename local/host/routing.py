"""Which HTTP function a request belongs to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from local.host.loading import AppFunction
from local.host.templates import RouteTemplate


@dataclass(frozen=True)
class HttpFunction:
    """An HTTP function and the requests it answers; without methods it answers all of them."""

    function: AppFunction
    template: RouteTemplate
    methods: tuple[str, ...]
    auth_level: str

    @classmethod
    def of(cls, function: AppFunction, *, route_prefix: str) -> Self:
        """Reads the trigger of `function`; ValueError if its route cannot be read."""
        route = route_of(function)
        return cls(
            function=function,
            template=RouteTemplate.parse(f"{route_prefix}/{route}" if route_prefix else route),
            methods=tuple(method.upper() for method in function.trigger.get("methods") or ()),
            auth_level=str(function.trigger.get("authLevel") or "FUNCTION").upper(),
        )

    def answers(self, method: str) -> bool:
        """Whether it takes requests of `method`."""
        return not self.methods or method.upper() in self.methods

    def conflicts_with(self, other: "HttpFunction") -> bool:
        """Whether both claim one template for one method."""
        shared = not self.methods or not other.methods or set(self.methods) & set(other.methods)
        return bool(shared) and self.template.text.lower() == other.template.text.lower()


@dataclass(frozen=True)
class Match:
    """The function a request belongs to, and what its path says about the route's parameters."""

    target: HttpFunction
    route_values: dict[str, str] = field(default_factory=dict)


def route_of(function: AppFunction) -> str:
    """The route a function declares, by default its name."""
    return str(function.trigger.get("route") or function.name)


def find(functions: Sequence[HttpFunction], method: str, path: str) -> Match | None:
    """The first function, in the order given, whose methods and template fit.

    As in Azure a literal segment has no precedence over a parameter, and a wrong method only makes
    the search go on: https://github.com/Azure/azure-functions-host/issues/3153.
    """
    for target in functions:
        values = target.template.match(path) if target.answers(method) else None
        if values is not None:
            return Match(target, values)
    return None
