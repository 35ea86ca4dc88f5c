"""The DPS service API: a client, its records, and their models."""

from typing import TYPE_CHECKING, Any

from shared.dps.context import CallContext
from shared.dps.records import Record

if TYPE_CHECKING:
    from shared.dps.client import DpsClient

__all__ = ["CallContext", "DpsClient", "Record"]


def __getattr__(name: str) -> Any:
    # The models behind the client are costly to load, and what is beside them is often needed alone.
    if name == "DpsClient":
        from shared.dps.client import DpsClient  # noqa: PLC0415  costly: on first use

        return DpsClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
