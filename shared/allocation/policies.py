"""Built-in policies. They come in through the door of your own: `shared.allocation.policies:…`."""

from shared.allocation import rules
from shared.allocation.decisions import Assignment, Decision
from shared.allocation.requests import AllocationRequest
from shared.errors import NoHubError

_among_all = rules.hashed({})


def hashed(request: AllocationRequest) -> Decision:
    """Spreads devices evenly over all linked hubs; the same device always gets the same one."""
    return _decided(_among_all(request), "hashed")


def sticky(request: AllocationRequest) -> Decision:
    """Leaves a device where it is, as long as that hub is linked; new ones are spread evenly."""
    return _decided(rules.keep(request) or _among_all(request), "sticky")


def _decided(hub: str | None, rule: str) -> Decision:
    if not hub:
        raise NoHubError
    return Assignment(hub=hub, rule=rule)
