"""Errors that end a command with a message."""

from cli.exit_codes import ExitCode


class CommandError(Exception):
    """An expected error; its text is shown and never contains a key."""

    exit_code = ExitCode.USAGE


class RunFileError(CommandError):
    """A file of a run cannot be written, or was taken away from it."""

    exit_code = ExitCode.UNAVAILABLE


class AppError(CommandError):
    """A call to the app failed."""

    exit_code = ExitCode.UNAVAILABLE


class CallError(AppError):
    """
    The app, or something in front of it, did not do what a call asks for.

    `in_doubt` is true if it may have been done all the same. `status` is that of the response, `None`
    without one; `code` is the app's error code, 0 without one.
    """

    def __init__(
        self, message: str, *, in_doubt: bool = False, status: int | None = None, code: int = 0
    ) -> None:
        super().__init__(message)
        self.in_doubt = in_doubt
        self.status = status
        self.code = code


class CallFailedError(CallError):
    """A call that can be repeated; `retry_after` is in seconds, if known."""

    def __init__(
        self,
        message: str,
        *,
        in_doubt: bool = False,
        status: int | None = None,
        code: int = 0,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, in_doubt=in_doubt, status=status, code=code)
        self.retry_after = retry_after


class CallRefusedError(CallError):
    """A call that fails each time."""
