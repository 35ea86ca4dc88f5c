"""docs/scaling.md says what the simulation says."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.long
def test_table_is_what_the_simulation_prints():
    """Every line of the table is one that the seeded simulation prints, and none is missing."""
    ran = subprocess.run(
        [sys.executable, "bench/fleet.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )

    assert ran.stdout in (ROOT / "docs" / "scaling.md").read_text()
