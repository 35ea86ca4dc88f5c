"""Injected faults: errors and lost responses that tests request."""

from dataclasses import dataclass
from enum import Enum, auto

from local.servicebus.amqp.errors import AmqpError
from local.servicebus.resources import Statistics


class Step(Enum):
    """Client operations that a fault can affect."""

    TOKEN = auto()  # put-token on $cbs
    ATTACH = auto()  # of a link to a queue
    SEND = auto()
    SETTLE = auto()  # by a disposition on the link
    REQUEST = auto()  # an operation on $management


class Effect(Enum):
    """Effects of a fault other than an error."""

    NORMAL = auto()  # no fault
    IGNORED = auto()  # not executed, no response
    UNCONFIRMED = auto()  # executed, no response


@dataclass
class Fault:
    """A fault for the next `times` operations of kind `step` on `queue`, or on any queue."""

    step: Step
    effect: Effect | AmqpError
    times: int
    queue: str | None

    def matches(self, step: Step, queue: str | None) -> bool:
        """Returns whether the fault affects `step` on `queue`."""
        return self.step is step and self.queue in (None, queue)


class Faults:
    """The pending faults; the first that matches takes effect."""

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Adds a fault."""
        if fault.times > 0:
            self._faults.append(fault)

    def clear(self) -> None:
        """Removes all faults."""
        self._faults.clear()

    def apply(self, step: Step, queue: str | None) -> Effect:
        """Returns the effect on this operation; raises AmqpError if that is an error."""
        if not self._faults:
            return Effect.NORMAL
        matching = (fault for fault in self._faults if fault.matches(step, queue))
        fault = next(matching, None)
        if fault is None:
            return Effect.NORMAL
        self._use(fault)
        if isinstance(fault.effect, AmqpError):
            raise fault.effect
        return fault.effect

    def _use(self, fault: Fault) -> None:
        self._statistics.faults += 1
        fault.times -= 1
        if not fault.times:
            self._faults.remove(fault)
