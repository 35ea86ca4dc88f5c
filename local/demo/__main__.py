"""`python -m local.demo`: exits 0 only if every step did what it should."""

import argparse
import io
import logging
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from local.demo.examples import ExamplesError, load
from local.demo.table import Table
from local.host import AppRefusedError
from local.stack import ROOT

INTERRUPTED = 130  # 128 and the number of SIGINT, as shells have it


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 1 if a step failed or nothing could be started."""
    options = _parser().parse_args(arguments)
    # Refusals are part of the show, so the app's warnings about them are not news.
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s %(message)s")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    if not _sdk_is_there():
        return _refuse("The DPS SDK is missing: pip install -r requirements-dev.txt")
    from local.demo.playing import play  # noqa: PLC0415 - needs the SDK, which may be missing

    try:
        return 0 if play(load(options.examples), Table()) else 1
    except (AppRefusedError, ExamplesError, OSError) as error:
        return _refuse(str(error) or type(error).__name__)
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local.demo", description=__doc__)
    parser.add_argument(
        "--examples",
        type=Path,
        default=ROOT / "examples",
        metavar="DIR",
        help="your own files: DIR/enrollments/*.json, DIR/enrollment-groups/*.json, DIR/bulk/*.json,"
        " DIR/fleets/*.json with the policies of DIR/allocation.json,"
        " DIR/messages/*.json as DIR/messages.json says",
    )
    return parser


def _sdk_is_there() -> bool:
    try:
        return find_spec("azure.iot.deviceprovisioning") is not None
    except ModuleNotFoundError:
        return False


def _refuse(text: str) -> int:
    print(text, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
