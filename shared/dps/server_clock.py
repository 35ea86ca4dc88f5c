"""The server clock: what the responses of DPS show of its time, to date an attempt and a record."""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

# A bound is not used longer: the two clocks drift apart by some 50 microseconds per second.
_MAX_AGE = 60.0


@dataclass(frozen=True, slots=True)
class Moment:
    """
    A moment in this process: the time of its event loop.

    `known` is the latest time of DPS's, in POSIX seconds, that was known then: DPS's clock showed
    at least that.
    """

    loop_time: float
    known: float


NEVER = Moment(-math.inf, -math.inf)
"""Before every record."""


class ServerClock:
    """
    Lower bounds of the time at DPS. Belongs to one event loop.

    A `Date` header (RFC 9110, 6.6.1) has whole seconds. So the clock also keeps the times of the
    records that it has seen: those that this process has read or written are dated exactly.
    """

    def __init__(self) -> None:
        self._latest = -math.inf
        self._date = ""
        # The least difference between DPS's clock and the loop's, and when it was observed.
        self._offset = self._observed = -math.inf

    def now(self) -> Moment:
        """Returns the current moment."""
        return Moment(asyncio.get_running_loop().time(), self._latest)

    def observe(self, date: str, document: Any) -> None:
        """Reads the times of a response that was just received: its `Date`, and its records'."""
        if date and date != self._date:
            self._date = date
            self._observe_date(_parse_date(date))
        records = document if isinstance(document, list) else [document]
        times = [r.get("lastUpdatedDateTimeUtc") for r in records if isinstance(r, Mapping)]
        if texts := [time for time in times if isinstance(time, str)]:
            # Without the Z, text order is the order in time, however many digits a second has.
            latest = max(text.rstrip("Z") for text in texts)
            self._latest = max(self._latest, _parse_time(latest))

    def _observe_date(self, date: float) -> None:
        now = asyncio.get_running_loop().time()
        self._latest = max(self._latest, date)
        if date - now > self._offset or now - self._observed > _MAX_AGE:
            self._offset, self._observed = date - now, now

    def is_before(self, time: object, moment: Moment) -> bool:
        """Returns whether this time of a record was certainly before the moment."""
        if not isinstance(time, str):
            return False
        return _parse_time(time, default=math.inf) <= max(
            moment.known, moment.loop_time + self._offset
        )


def _parse_time(text: str, *, default: float = -math.inf) -> float:
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return default
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def _parse_date(text: str) -> float:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return -math.inf
