"""`python -m local.demo`: runs the demo; exits with 0 only if no step failed."""

import argparse
import io
import logging
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from local.demo.examples import ExamplesError, load_examples
from local.host import AppStartError
from local.stack import ROOT

INTERRUPTED = 130  # 128 plus the number of SIGINT, as shells report it


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 1 if a step failed or a service could not be started."""
    options = _parser().parse_args(arguments)
    # The demo provokes errors, so the app's warnings about them are not shown.
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s %(message)s")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    if not _is_sdk_installed():
        return _fail("The DPS SDK is not installed: pip install -r requirements-dev.txt")
    from local.demo.runner import run_demo

    try:
        return 0 if run_demo(load_examples(options.examples)) else 1
    except (AppStartError, ExamplesError, OSError) as error:
        return _fail(str(error) or type(error).__name__)
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local.demo", description=__doc__)
    parser.add_argument(
        "--examples",
        type=Path,
        default=ROOT / "examples",
        metavar="DIR",
        help="a directory with your own files: enrollments/*.json, enrollment-groups/*.json,"
        " bulk/*.json, fleets/*.json with the policies of allocation.json, and messages/*.json"
        " with messages.json (default: the examples of this repository)",
    )
    return parser


def _is_sdk_installed() -> bool:
    try:
        return find_spec("azure.iot.deviceprovisioning") is not None
    except ModuleNotFoundError:
        return False


def _fail(text: str) -> int:
    print(text, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
