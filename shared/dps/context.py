"""What a caller says about a call that DPS should hear too."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.dps.pacing import Permit
from shared.settings import DEFAULT_API_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class CallContext:
    """
    The API version of a call, and what ties it to the caller's own logs and traces.

    `traceparent` is that of W3C Trace Context; `client_request_id` is any text of the caller's.
    `deadline` is the time of the running loop at which the call ends; `None` leaves it to the
    settings, as `None` does for `max_attempts`. The first attempt of a call with a `permit` does
    not wait for its turn again.
    """

    api_version: str = DEFAULT_API_VERSION
    client_request_id: str | None = None
    traceparent: str | None = None
    deadline: float | None = None
    max_attempts: int | None = None
    permit: Permit | None = None

    @property
    def headers(self) -> Mapping[str, str | None]:
        """The headers that carry it."""
        return {
            "x-ms-client-request-id": self.client_request_id,
            "traceparent": self.traceparent,
        }


NO_CONTEXT = CallContext()
