"""What keeps an app from being served."""

from collections.abc import Sequence


class AppRefusedError(Exception):
    """The app cannot be served; `faults` names every reason that could be found."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)
