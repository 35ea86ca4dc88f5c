"""
What the triggers do, each module of it loaded when a trigger first needs it.

A worker imports all triggers before it answers anything; their models, the client and the queues'
parts cost more than the rest of the app, and a worker may never need them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from functions import _handling as handling
    from functions import _health as health
    from functions import _rejected as rejected
    from functions import _verbs as verbs
else:

    class _OnDemand:
        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, name: str) -> Any:
            return getattr(import_module(self._name), name)

    handling = _OnDemand("functions._handling")
    health = _OnDemand("functions._health")
    rejected = _OnDemand("functions._rejected")
    verbs = _OnDemand("functions._verbs")

__all__ = ["handling", "health", "rejected", "verbs"]
