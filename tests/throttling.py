"""Whether a test has left an app behind that waits, as it was told by a DPS of no quota."""

from http import HTTPStatus

from local.dps import DpsStandIn


def has_throttled(dps: DpsStandIn) -> bool:
    """Whether it has refused anything so since it was reset."""
    return any(request.status == HTTPStatus.TOO_MANY_REQUESTS for request in dps.requests)
