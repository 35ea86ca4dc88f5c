"""The context of a call: API version, correlation ids, deadline and permit."""

from dataclasses import dataclass

from shared.dps.rate_limiter import Permit
from shared.settings import DEFAULT_API_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class CallContext:
    """
    The context of a call to DPS.

    `client_request_id` is any text of the caller's; `traceparent` is W3C Trace Context's.
    `deadline` is a time of the running event loop. For `None`, `deadline` and `max_attempts` are
    those of the settings. With a `permit` the first attempt does not acquire one.
    """

    api_version: str = DEFAULT_API_VERSION
    client_request_id: str | None = None
    traceparent: str | None = None
    deadline: float | None = None
    max_attempts: int | None = None
    permit: Permit | None = None


DEFAULT_CONTEXT = CallContext()
