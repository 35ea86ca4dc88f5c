"""
Runs all benchmarks: python bench/run.py [NAME …]. With QUICK=1 it takes less than two minutes.

Prints each row as soon as it is measured. A run of all benchmarks writes bench/results.json, and
without QUICK also docs/performance.md. The exit code is 1 if a goal is missed by more than the spread.
"""

import sys
import time
import traceback
from importlib import import_module

from harness import is_quick
from report import describe_machine, write_page, write_results
from table import HEAD, Failed, Rows

NAMES = (
    "throughput",
    "memory",
    "dps_call",
    "import_time",
    "webhook",
    "added_latency",
    "operations",
    "pacing",
    "http_beside_queue",
    "http_bulk",
    "large_bodies",
    "command_line",
)


def main(names: list[str]) -> int:
    """Runs the named benchmarks, or all; prints their rows; writes the files if all were run."""
    started = time.monotonic()
    print(describe_machine(), HEAD, sep="\n", flush=True)
    rows = [row for name in names or NAMES for row in _run(name)]
    print(f"{time.monotonic() - started:.0f} s")
    if not names:
        write_results(rows)
    if not names and not is_quick():
        write_page(rows)
    return int(any(row.is_missed for row in rows))


def _run(name: str) -> Rows:
    try:
        rows: Rows = import_module(name).rows()
    except Exception as error:  # noqa: BLE001  the other benchmarks still run
        traceback.print_exc()
        rows = [Failed(name=name, goal=None, why=f"{type(error).__name__}: {error}")]
    print(*rows, sep="\n", flush=True)
    return rows


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
