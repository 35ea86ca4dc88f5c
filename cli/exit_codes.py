"""The exit codes of the command line."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command has done; listed in docs/cli.md."""

    OK = 0
    """Everything was done."""
    FAULTS = 1
    """The file has faults, rows failed or, in `plan`, would fail; the other rows were applied."""
    USAGE = 2
    """The command or the file cannot be used. Nothing was sent, or the file was changed meanwhile."""
    UNAVAILABLE = 3
    """
    The app cannot be reached or refused the call, or a file of the run cannot be written.

    If rows were sent, `apply --resume` continues.
    """
    INTERNAL_ERROR = 70
    """An error of the command line itself; `apply --resume` continues."""
    INTERRUPTED = 130
    """Ctrl-C; `apply --resume` continues."""
