"""What Azure refuses when it indexes an app, so that it is refused here first."""

import inspect
import re
import typing
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

from local.host.loading import AppFunction
from local.host.routing import HttpFunction, route_of

# azure-functions-host, Utility.cs and FunctionMetadataManager.cs
_NAME = re.compile(r"(?!host$)[a-z][a-z0-9_-]{0,127}", re.IGNORECASE)
# azure-functions-host, ScriptHost.ValidateHttpFunction: routes of the host's own API
_RESERVED_ROUTES = ("admin", "runtime")


def function_faults(functions: Sequence[AppFunction]) -> list[str]:
    """Everything wrong with single functions and with their names."""
    faults = [
        f"{function.name}: {fault}"
        for function in functions
        for check in _CHECKS
        for fault in check(function)
    ]
    names = [function.name.lower() for function in functions]
    twice = sorted({name for name in names if names.count(name) > 1})
    return faults + [f"{name}: more than one function has this name" for name in twice]


def route_faults(functions: Sequence[HttpFunction]) -> list[str]:
    """Every pair of functions that claims the same requests."""
    return [
        f"{second.function.name}: its route is that of {first.function.name}"
        for first, second in combinations(functions, 2)
        if first.conflicts_with(second)
    ]


def _name(function: AppFunction) -> Iterator[str]:
    if not _NAME.fullmatch(function.name):
        yield "the name is not a letter followed by letters, digits, '_' or '-'"


def _parameters(function: AppFunction) -> Iterator[str]:
    declared = set(inspect.signature(function.call).parameters)
    bound = {str(binding["name"]) for binding in function.bindings} - {"$return"}
    for name in sorted(declared - bound - {"context"}):
        yield f"no binding is named as its parameter {name!r}"
    for name in sorted(bound - declared):
        yield f"it has no parameter for its binding {name!r}"


def _annotations(function: AppFunction) -> Iterator[str]:
    # Azure's worker evaluates them to learn what to hand over.
    try:
        typing.get_type_hints(function.call)
    except Exception as exc:  # noqa: BLE001 - evaluating an annotation runs the app's own code
        yield f"its annotations cannot be evaluated: {exc}"


def _reserved_route(function: AppFunction) -> Iterator[str]:
    if function.is_http and route_of(function).lower().startswith(_RESERVED_ROUTES):
        yield f"the route {route_of(function)!r} begins like one of the host's own (admin, runtime)"


def _further_bindings(function: AppFunction) -> Iterator[str]:
    others = [binding for binding in function.bindings if binding is not function.trigger]
    for binding in others if function.is_http else []:
        if (str(binding["type"]).lower(), binding["name"]) != ("http", "$return"):
            yield f"the binding {binding['name']!r} ({binding['type']}) is not known to this host"


_CHECKS: Sequence[Callable[[AppFunction], Iterator[str]]] = (
    _name,
    _parameters,
    _annotations,
    _reserved_route,
    _further_bindings,
)
