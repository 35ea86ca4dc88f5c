"""docs/scaling.md agrees with the simulation."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.long
def test_table_is_the_output_of_the_simulation() -> None:
    """The table in docs/scaling.md is the complete output of the seeded simulation."""
    ran = subprocess.run(
        [sys.executable, "bench/fleet.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )

    assert ran.stdout in (ROOT / "docs" / "scaling.md").read_text()
