"""What can be more or less: numbers, dotted versions, points in time."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

Order = Callable[[Any], Any]
"""Gives what to compare, or `None` for a value of another kind."""


def number(value: Any) -> int | float | None:
    """A number; `true` is none."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


# A device's one text meets the bounds of many rules; no version and no time is longer than this.
_REMEMBERED, _LONGEST = 128, 100

_VERSION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,9}")


def version(value: Any) -> tuple[int, ...] | None:
    """A version such as `12.0.2`, part by part as numbers; zeros at its end mean nothing."""
    return _version(value) if isinstance(value, str) and len(value) <= _LONGEST else None


@lru_cache(_REMEMBERED)
def _version(text: str) -> tuple[int, ...] | None:
    if not _VERSION.fullmatch(text):
        return None
    parts = [int(part) for part in text.split(".")]
    while parts and not parts[-1]:
        parts.pop()
    return tuple(parts)


_TIME = re.compile(r"\d{4}-\d\d-\d\d(T.{1,40})?", re.ASCII)


def time(value: Any) -> datetime | None:
    """A day or a point in time of ISO 8601; without an offset it is UTC."""
    return _time(value) if isinstance(value, str) and len(value) <= _LONGEST else None


@lru_cache(_REMEMBERED)
def _time(text: str) -> datetime | None:
    if not _TIME.fullmatch(text):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


_ORDERS: tuple[Order, ...] = (number, version, time)


def order_of(bound: Any) -> Order | None:
    """How to compare with a bound; `None` if it is nothing that can be more or less."""
    return next((order for order in _ORDERS if order(bound) is not None), None)
