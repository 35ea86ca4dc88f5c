"""Errors that end a command with a message."""

from cli.exit_codes import ExitCode


class CommandError(Exception):
    """An expected error; its text is shown and never contains a key."""

    exit_code = ExitCode.USAGE


class AppError(CommandError):
    """A call to the app failed."""

    exit_code = ExitCode.UNAVAILABLE


class CallFailedError(AppError):
    """
    A call that can be repeated.

    `in_doubt` is true if the app may have carried it out. `retry_after` is in seconds, if known.
    `status` is that of the response, `None` without one.
    """

    def __init__(
        self,
        message: str,
        *,
        in_doubt: bool = False,
        retry_after: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.in_doubt = in_doubt
        self.retry_after = retry_after
        self.status = status


class CallRefusedError(AppError):
    """A call that fails each time; `code` is the app's error code."""

    def __init__(self, message: str, *, status: int, code: int) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
