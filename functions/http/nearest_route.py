"""Errors for requests that match no route: the allowed methods, or the route that is nearest."""

import json
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from shared.errors import AppError, MethodNotAllowedError, RouteNotFoundError

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")


def route_error(path: str, openapi: bytes) -> AppError:
    """Returns the error for a request to `path` that no route of the OpenAPI document takes."""
    routes = {template: _methods(item) for template, item in json.loads(openapi)["paths"].items()}
    allowed = {
        m for template, methods in routes.items() if _matches(template, path) for m in methods
    }
    if allowed:
        return MethodNotAllowedError(sorted(allowed))
    # Parameters have any text, so they are compared by position only.
    by_shape = {_shape(template, path): template for template in routes}
    nearest = get_close_matches(path.rstrip("/").lower(), by_shape, n=1, cutoff=0.5)
    return RouteNotFoundError(
        [f"{method} {by_shape[shape]}" for shape in nearest for method in routes[by_shape[shape]]]
    )


def _methods(item: Mapping[str, Any]) -> Iterable[str]:
    return [method for method in _METHODS if method.lower() in item]


def _matches(template: str, path: str) -> bool:
    pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
    return re.fullmatch(f"{pattern}/?", path, re.IGNORECASE) is not None


def _shape(template: str, path: str) -> str:
    """Returns the template in lower case, with the segments of `path` as parameters."""
    given = path.strip("/").lower().split("/")
    segments = template.strip("/").lower().split("/")
    return "/" + "/".join(
        given[index] if segment.startswith("{") and index < len(given) else segment
        for index, segment in enumerate(segments)
    )
