"""Checks that Azure makes when it indexes an app, made here before the host starts."""

import inspect
import re
import typing
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

from local.host.app import AppFunction
from local.host.routes import HttpFunction, declared_route

# azure-functions-host, Utility.cs and FunctionMetadataManager.cs
_NAME = re.compile(r"(?!host$)[a-z][a-z0-9_-]{0,127}", re.IGNORECASE)
# azure-functions-host, ScriptHost.ValidateHttpFunction: routes of the host's own API
_RESERVED_ROUTES = ("admin", "runtime")


def find_function_faults(functions: Sequence[AppFunction]) -> list[str]:
    """Returns every fault of a single function, and every name that is used twice."""
    faults = [
        f"{function.name}: {fault}"
        for function in functions
        for check in _CHECKS
        for fault in check(function)
    ]
    names = [function.name.lower() for function in functions]
    duplicates = sorted({name for name in names if names.count(name) > 1})
    return faults + [f"{name}: more than one function has this name" for name in duplicates]


def find_route_faults(functions: Sequence[HttpFunction]) -> list[str]:
    """Returns a fault for every pair of functions with the same route and a common method."""
    return [
        f"{second.function.name}: has the same route as {first.function.name}"
        for first, second in combinations(functions, 2)
        if first.conflicts_with(second)
    ]


def _check_name(function: AppFunction) -> Iterator[str]:
    if not _NAME.fullmatch(function.name):
        yield "the name must be a letter followed by letters, digits, '_' or '-', and not 'host'"


def _check_parameters(function: AppFunction) -> Iterator[str]:
    declared = set(inspect.signature(function.call).parameters)
    bound = {str(binding["name"]) for binding in function.bindings} - {"$return"}
    for name in sorted(declared - bound - {"context"}):
        yield f"the parameter {name!r} has no binding"
    for name in sorted(bound - declared):
        yield f"the binding {name!r} has no parameter"


def _check_annotations(function: AppFunction) -> Iterator[str]:
    # Azure's worker evaluates the annotations to find out which types the function takes.
    try:
        typing.get_type_hints(function.call)
    except Exception as exc:  # noqa: BLE001 - evaluating an annotation runs the app's own code
        yield f"the annotations cannot be evaluated: {exc}"


def _check_reserved_route(function: AppFunction) -> Iterator[str]:
    route = declared_route(function)
    if function.is_http and route.lower().startswith(_RESERVED_ROUTES):
        yield f"the route {route!r} must not begin with 'admin' or 'runtime'"


def _check_other_bindings(function: AppFunction) -> Iterator[str]:
    others = [binding for binding in function.bindings if binding is not function.trigger]
    for binding in others if function.is_http else []:
        if (str(binding["type"]).lower(), binding["name"]) != ("http", "$return"):
            yield f"the binding {binding['name']!r} ({binding['type']}) is not supported by this host"


_CHECKS: Sequence[Callable[[AppFunction], Iterator[str]]] = (
    _check_name,
    _check_parameters,
    _check_annotations,
    _check_reserved_route,
    _check_other_bindings,
)
