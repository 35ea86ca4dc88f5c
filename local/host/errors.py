"""What keeps an app from being served."""

from collections.abc import Sequence

from local.foreground import NotStartedError


class AppRefusedError(NotStartedError):
    """The app cannot be served; `faults` names every reason that could be found."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n  ".join(["the app cannot be served:", *faults]))
        self.faults = tuple(faults)
