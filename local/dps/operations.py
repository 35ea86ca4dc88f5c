"""Operations of the APIs: calls, responses, and the routing of a path to its operation."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal
from urllib.parse import unquote

from cryptography import x509

from local.dps.errors import (
    INVALID_REQUEST,
    METHOD_NOT_ALLOWED,
    PATH_NOT_FOUND,
    UNSUPPORTED_MEDIA_TYPE,
    ApiError,
)
from local.dps.options import Right

# Documented: service API operations and device registrations have a quota each, and the polls of
# each device.
QuotaName = Literal["operations", "registrations", "polls"]


@dataclass(frozen=True)
class Response:
    """Status, JSON body (None: no body) and headers in addition to those of every response."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Call:
    """
    One call of an operation; `id`, `scope` and `operation_id` are the decoded path parameters.

    `api_version` is a known one. `origin` is the scheme and host of the URL. `certificates` is the
    chain of a TLS client, its own certificate first; only the client's possession of the private
    key has been verified.
    """

    id: str = ""
    scope: str = ""
    operation_id: str = ""
    api_version: str
    headers: Mapping[str, str]
    body: bytes
    origin: str = ""
    certificates: Sequence[x509.Certificate] = ()

    @cached_property
    def document(self) -> dict[str, Any]:
        """
        The JSON object in the body.

        Raises ApiError 400 if the body is not one, and 415 for another media type (documented).
        """
        media_type = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if self.body and media_type != "application/json":
            raise ApiError(UNSUPPORTED_MEDIA_TYPE)
        return parse_json_object(self.body)


def parse_json_object(body: bytes) -> dict[str, Any]:
    """Returns the JSON object in `body`; raises ApiError 400, without quoting the body."""
    try:
        document = json.loads(body, parse_constant=_reject_constant, parse_float=_finite_float)
    except (ValueError, RecursionError) as error:
        raise ApiError(INVALID_REQUEST, "The request body is not valid JSON") from error
    if not isinstance(document, dict):
        raise ApiError(INVALID_REQUEST, "The request body is not a JSON object")
    return document


def _reject_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("the number is too large")
    return number


def _count_one(_: Call) -> int:
    return 1


@dataclass(frozen=True, kw_only=True)
class Operation:
    """
    One operation of an API.

    An operation without a `right` belongs to the device API, which authenticates devices itself.
    """

    name: str
    method: str
    path: str  # {id} and the like are parameters: members of Call
    right: Right | None = None
    quota: QuotaName | None = "operations"
    run: Callable[[Call], Response]
    is_bulk: bool = False
    count_items: Callable[[Call], int] = _count_one

    def match(self, segments: list[str]) -> Mapping[str, str] | None:
        """
        Returns the path parameters, or None if the path does not match.

        SDK: paths are compared ignoring case, because the Node.js client sends lower case.
        """
        pattern = self.path.strip("/").split("/")
        if len(pattern) != len(segments):
            return None
        parameters: dict[str, str] = {}
        for expected, segment in zip(pattern, segments, strict=True):
            if expected.startswith("{") and segment:
                parameters[expected.strip("{}")] = unquote(segment)
            elif expected.lower() != segment.lower():
                return None
        return parameters


class Router:
    """The operations by method and path; of two that match, the first one wins."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._operations = tuple(operations)

    def find(self, method: str, raw_path: str) -> tuple[Operation, Mapping[str, str]]:
        """
        Returns the operation and its path parameters; raises ApiError 404 or 405.

        SDK: a trailing slash is ignored, because the C client sends one.
        """
        segments = raw_path.rstrip("/").split("/")[1:]
        matches = [
            (operation, parameters)
            for operation in self._operations
            if (parameters := operation.match(segments)) is not None
        ]
        if not matches:
            raise ApiError(PATH_NOT_FOUND)
        for operation, parameters in matches:
            if operation.method == method:
                return operation, parameters
        allowed = ", ".join(sorted({operation.method for operation, _ in matches}))
        raise ApiError(METHOD_NOT_ALLOWED, headers={"Allow": allowed})
