"""What an error can mean outside: over HTTP, for a message, and for the catalogue."""

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus


class Settlement(StrEnum):
    """What becomes of a message whose handling ended in an error."""

    PARK = "park"
    """It can never succeed: kept aside with its reason."""
    RETRY = "retry"
    """Another attempt may succeed; attempts are counted."""
    RESCHEDULE = "reschedule"
    """It is not the message's fault, nor its attempt's: later, uncounted."""
    ABANDON = "abandon"
    """A bug of ours: Service Bus delivers it again and in the end dead-letters it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """
    One row.

    `code` has DPS's six digits, of which the first three are `status`; an error that carries DPS's
    own code keeps that. `retry_after` is in seconds, where the error itself knows none.
    """

    status: HTTPStatus
    code: int
    settlement: Settlement
    meaning: str
    cure: str
    retry_after: int | None = None
