"""What can be more or less: numbers, dotted versions, points in time."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

Order = Callable[[Any], Any]
"""Gives what to compare, or `None` for a value of another kind."""


def number(value: Any) -> int | float | None:
    """A number; `true` is none."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


_VERSION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,9}")


def version(value: Any) -> tuple[int, ...] | None:
    """A version such as `12.0.2`, part by part as numbers; zeros at its end mean nothing."""
    if not isinstance(value, str) or not _VERSION.fullmatch(value):
        return None
    parts = [int(part) for part in value.split(".")]
    while parts and not parts[-1]:
        parts.pop()
    return tuple(parts)


_TIME = re.compile(r"\d{4}-\d\d-\d\d(T.{1,40})?", re.ASCII)


def time(value: Any) -> datetime | None:
    """A day or a point in time of ISO 8601; without an offset it is UTC."""
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


_ORDERS: tuple[Order, ...] = (number, version, time)


def order_of(bound: Any) -> Order | None:
    """How to compare with a bound; `None` if it is nothing that can be more or less."""
    return next((order for order in _ORDERS if order(bound) is not None), None)
