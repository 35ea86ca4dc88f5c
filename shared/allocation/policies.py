"""Built-in policies; the policy file names them as `shared.allocation.policies:hashed`."""

from shared.allocation.decision import Assignment, Decision
from shared.allocation.engine import choose_by_weight, choose_current
from shared.allocation.request import AllocationRequest
from shared.errors import NoHubError

_choose_any = choose_by_weight({})


def hashed(request: AllocationRequest) -> Decision:
    """Distributes devices evenly over all linked hubs; a device always gets the same hub."""
    return _assign(_choose_any(request), "hashed")


def sticky(request: AllocationRequest) -> Decision:
    """Keeps a device on its current hub while that is linked; otherwise as `hashed`."""
    return _assign(choose_current(request) or _choose_any(request), "sticky")


def _assign(hub: str | None, rule: str) -> Decision:
    if not hub:
        raise NoHubError
    return Assignment(hub=hub, rule=rule)
