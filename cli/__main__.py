"""`python -m cli`: see `python -m cli --help` and docs/cli.md."""

import sys

from cli.app import run

if __name__ == "__main__":
    sys.exit(run())
