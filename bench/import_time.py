"""
CPU time of importing the app, as at a cold start: python bench/import_time.py.

The peer is what any function app with one model imports. Each import has a fresh interpreter; CPU
time hardly changes when the machine is busy. The exit code is 1 if the goal is missed by more than
the spread.
"""

import subprocess
import sys

from harness import ROOT, is_quick
from table import Row, Rows, measure_alternately, print_table

GOAL = 1.25
NOTE = "peer: import of azure.functions and one pydantic model"
_ROUNDS = 7 if is_quick() else 25
_TIMEOUT = 30.0  # seconds for one import

_APP = "import function_app"
_MINIMAL_APP = """import azure.functions
import pydantic


class Device(pydantic.BaseModel):
    registrationId: str
"""
_TIMED = """import time
_began = time.process_time()
{}
print(time.process_time() - _began)
"""


def rows() -> Rows:
    """Returns one row."""
    ours, theirs = measure_alternately(
        _ROUNDS, lambda: _milliseconds(_APP), lambda: _milliseconds(_MINIMAL_APP)
    )
    return [
        Row(name="import of function_app", unit="CPU ms", ours=ours, theirs=theirs, at_most=GOAL)
    ]


def _milliseconds(code: str) -> float:
    """Returns the CPU time of `code` in a fresh interpreter."""
    ran = subprocess.run(  # noqa: S603  our own Python and our own text
        [sys.executable, "-c", _TIMED.format(code)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=True,
    )
    return float(ran.stdout.splitlines()[-1]) * 1000


if __name__ == "__main__":
    sys.exit(print_table(rows(), NOTE))
