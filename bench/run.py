"""
All benchmarks, in one run: python bench/run.py [NAME …], QUICK=1 for less than two minutes.

The table is printed as it comes. bench/results.json holds it for programs, and a whole run writes it
into docs/performance.md as well. The exit code is 1 if a goal is missed by more than the spread.
"""

import sys
import time
import traceback
from importlib import import_module

from quick import is_quick
from ratio import HEAD, Failed, Rows
from report import machine, write_page, write_results

NAMES = (
    "throughput",
    "memory",
    "dps_call",
    "import_time",
    "webhook",
    "added_latency",
    "operations",
    "simulated",
    "http_beside_queue",
)


def main(names: list[str]) -> int:
    """Runs those, or all; prints, and writes what all have found."""
    began = time.monotonic()
    print(machine(), HEAD, sep="\n", flush=True)
    rows = [row for name in names or NAMES for row in _shown(name)]
    print(f"{time.monotonic() - began:.0f} s")
    if not names:
        write_results(rows)
    if not names and not is_quick():
        write_page(rows)
    return int(any(row.is_missed for row in rows))


def _shown(name: str) -> Rows:
    try:
        rows: Rows = import_module(name).rows()
    except Exception as error:  # noqa: BLE001  the others are of interest all the same
        traceback.print_exc()
        rows = [Failed(name=name, goal=None, why=f"{type(error).__name__}: {error}")]
    print(*rows, sep="\n", flush=True)
    return rows


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
