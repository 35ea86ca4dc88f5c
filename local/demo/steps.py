"""What a demo is made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Via(StrEnum):
    """Who makes the call."""

    SDK = "SDK"
    SDK_AIO = "SDK aio"
    HTTP = "HTTP"
    QUEUE = "queue"  # a message, with the SDK for Service Bus
    DEVICE = "device"  # a call of the device API of DPS, which calls the app
    STAND_IN = "stand-in"  # a control endpoint of the stand-in: no call of the app


@dataclass(frozen=True)
class Step:
    """One row: `run` makes the calls, checks all that comes back, and says it in a few words.

    It raises UnexpectedError, or what a client raises, if anything is not as it should be.
    """

    via: Via
    what: str
    run: Callable[[], str]


@dataclass(frozen=True)
class Chapter:
    """Steps under one title."""

    title: str
    steps: Sequence[Step]


class UnexpectedError(Exception):
    """Something came that should not have; its text never holds a key."""


class NothingToShowError(Exception):
    """No record is there that a step could show anything with; its text says which kind."""
