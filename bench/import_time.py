"""What importing the app costs a cold start: python bench/import_time.py.

In CPU time, which says the same on a busy machine, and against what any function app with one
model imports. Each import has an interpreter of its own.
The exit code is 1 if the goal is missed by more than the spread.
"""

import subprocess
import sys
from pathlib import Path

from quick import is_quick
from ratio import Row, Rows, alternating, shown

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 7 if is_quick() else 25
GOAL = 1.25
NOTE = "peer: import of azure.functions and one pydantic model"
WITHIN = 30.0  # seconds for one import

APP = "import function_app"
LEAST = """import azure.functions
import pydantic


class Device(pydantic.BaseModel):
    registrationId: str
"""
TIMED = """import time
_began = time.process_time()
{}
print(time.process_time() - _began)
"""


def rows() -> Rows:
    """The one row."""
    ours, theirs = alternating(ROUNDS, lambda: milliseconds(APP), lambda: milliseconds(LEAST))
    return [
        Row(name="import of function_app", unit="CPU ms", ours=ours, theirs=theirs, at_most=GOAL)
    ]


def milliseconds(code: str) -> float:
    """What code takes in a fresh interpreter, its files in the system's cache."""
    ran = subprocess.run(  # noqa: S603 - our own Python and our own text
        [sys.executable, "-c", TIMED.format(code)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=True,
    )
    return float(ran.stdout.splitlines()[-1]) * 1000


if __name__ == "__main__":
    sys.exit(shown(rows(), NOTE))
