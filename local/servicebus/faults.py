"""Faults to order: what goes wrong, at which step, how often."""

from dataclasses import dataclass
from enum import Enum, auto

from local.servicebus.amqp.errors import AmqpError
from local.servicebus.counts import Statistics


class Step(Enum):
    """What a client can do that may go wrong."""

    TOKEN = auto()  # put-token on $cbs
    ATTACH = auto()  # a link to a queue
    SEND = auto()
    SETTLE = auto()  # on the link
    REQUEST = auto()  # an operation on $management


class Effect(Enum):
    """What becomes of it."""

    NORMAL = auto()
    IGNORED = auto()  # it is neither done nor answered
    UNCONFIRMED = auto()  # it is done but not answered


@dataclass
class Fault:
    """Strikes the next `times` steps on `queue`, or on any queue."""

    step: Step
    effect: Effect | AmqpError
    times: int
    queue: str | None

    def matches(self, step: Step, queue: str | None) -> bool:
        """Whether it is meant for this."""
        return self.step is step and self.queue in (None, queue)


class Faults:
    """The faults in force; the first that matches strikes."""

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics
        self._faults: list[Fault] = []

    def order(self, fault: Fault) -> None:
        """Adds one."""
        if fault.times > 0:
            self._faults.append(fault)

    def clear(self) -> None:
        """Takes all of them back."""
        self._faults.clear()

    def strike(self, step: Step, queue: str | None) -> Effect:
        """What becomes of this step; AmqpError if it is refused."""
        if not self._faults:
            return Effect.NORMAL
        matching = (fault for fault in self._faults if fault.matches(step, queue))
        fault = next(matching, None)
        if fault is None:
            return Effect.NORMAL
        self._spend(fault)
        if isinstance(fault.effect, AmqpError):
            raise fault.effect
        return fault.effect

    def _spend(self, fault: Fault) -> None:
        self._statistics.faults += 1
        fault.times -= 1
        if not fault.times:
            self._faults.remove(fault)
