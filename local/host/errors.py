"""Errors of the Functions host."""

from collections.abc import Sequence

from local.foreground import StartError


class AppStartError(StartError):
    """The app cannot be started; `faults` lists every reason found."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n  ".join(["the app cannot be started:", *faults]))
        self.faults = tuple(faults)


class TriggerSkippedError(Exception):
    """This host starts no listener for the trigger; the text says why, without setting values."""
