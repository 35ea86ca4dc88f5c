"""What an operation is asked and what it answers, free of any web framework."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cryptography import x509

from local.dps.errors import Refused
from local.dps.rules import INVALID, WRONG_MEDIA_TYPE


@dataclass(frozen=True)
class Reply:
    """Status, JSON body (None: no body at all) and headers beside the usual ones."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request to one operation; `id`, `scope` and `operation_id` are decoded from its path.

    `origin` is the scheme and host that were called, `certificates` the chain that the caller
    presented, its own first: its key is proven, and nothing else is.
    """

    id: str = ""
    scope: str = ""
    operation_id: str = ""
    headers: Mapping[str, str]
    body: bytes
    origin: str = ""
    certificates: Sequence[x509.Certificate] = ()

    @cached_property
    def document(self) -> dict[str, Any]:
        """The JSON object in the body; refused if it is anything else."""
        media_type = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if self.body and media_type != "application/json":
            raise Refused(WRONG_MEDIA_TYPE)  # D
        return json_object(self.body)


def json_object(body: bytes) -> dict[str, Any]:
    """The object that `body` holds, or a refusal that does not repeat a word of it."""
    try:
        document = json.loads(body, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise Refused(INVALID, "The request body is not valid JSON") from error
    if not isinstance(document, dict):
        raise Refused(INVALID, "The request body is not a JSON object")
    return document


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("the number is too large")
    return number
