"""
Modules that a trigger needs only once it is invoked, imported at the first access.

A worker imports every trigger before it answers anything. The handlers load the DPS models and the
client, which cost more than the rest of the app and which an allocation worker may never need.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from functions.http import handlers, rejected_handlers

__all__ = ["handlers", "rejected_handlers"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return import_module(f"functions.http.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
