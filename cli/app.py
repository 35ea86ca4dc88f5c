"""The command line application: one verb per module of `cli.commands`."""

import io
import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from traceback import extract_tb

import typer

from cli import commands
from cli.errors import CommandError
from cli.exit_codes import ExitCode
from cli.output import print_error


def create_app() -> typer.Typer:
    """Returns the application with every verb that a module of `cli.commands` has as `verb`."""
    app = typer.Typer(
        name="python -m cli",
        help="From a spreadsheet to enrollments in DPS, through the enrollment functions.",
        no_args_is_help=True,
        add_completion=False,
        # A traceback with local variables would print keys.
        pretty_exceptions_enable=False,
    )
    for module in sorted(iter_modules(commands.__path__), key=lambda module: module.name):
        verb = import_module(f"{commands.__name__}.{module.name}").verb
        if isinstance(verb, typer.Typer):
            app.add_typer(verb, name=module.name)
        else:
            app.command(name=module.name)(verb)
    return app


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code, with a message for an expected error."""
    # httpx logs every URL on this level.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        create_app()(args=arguments, prog_name="python -m cli")
    except CommandError as error:
        print_error(str(error))
        return error.exit_code
    except OSError as error:
        print_error(f"{error.filename or 'A file'}: {error.strerror or type(error).__name__}.")
        return ExitCode.UNAVAILABLE
    except SystemExit as end:
        return int(end.code or ExitCode.OK)
    except Exception as error:  # noqa: BLE001  its text may have a key
        cause: BaseException = error
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        frame = extract_tb(cause.__traceback__)[-1]
        at = f"{Path(frame.filename).name}, line {frame.lineno}"
        print_error(f"Internal error: {type(cause).__name__} in {at}. Please report it.")
        return ExitCode.INTERNAL_ERROR
    return ExitCode.OK
