"""The context of a call: API version, correlation ids, deadline, permit and attempts."""

from dataclasses import dataclass

from shared.dps.rate_limiter import Permit
from shared.dps.server_clock import NEVER, Moment


@dataclass(frozen=True, kw_only=True, slots=True)
class CallContext:
    """
    The context of a call to DPS.

    `client_request_id` is any text of the caller's; `traceparent` is W3C Trace Context's.
    `deadline` is a time of the running event loop. For `None`, `api_version`, `deadline` and
    `max_attempts` are those of the settings. With a `permit` the first attempt does not acquire one.
    """

    api_version: str | None = None
    client_request_id: str | None = None
    traceparent: str | None = None
    deadline: float | None = None
    max_attempts: int | None = None
    permit: Permit | None = None


DEFAULT_CONTEXT = CallContext()


@dataclass(kw_only=True, slots=True)
class Attempts:
    """
    The attempts of a write, over one or more calls.

    `started` is the start of the latest, `in_doubt_since` that of the first whose response was
    lost. With `repeats_in_doubt` the transport repeats the write after that one; otherwise it
    leaves that to its caller.
    """

    repeats_in_doubt: bool = True
    count: int = 0
    started: Moment = NEVER
    in_doubt_since: Moment | None = None

    @property
    def in_doubt(self) -> bool:
        """Whether an attempt may have been applied without a response."""
        return self.in_doubt_since is not None

    def mark_in_doubt(self) -> None:
        """Records that the response to the latest attempt was lost."""
        self.in_doubt_since = self.in_doubt_since or self.started
