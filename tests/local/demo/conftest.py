"""The run of the demo that several modules check."""

import pytest

from tests.local.demo.demo_runs import DemoRun, run_demo


@pytest.fixture(scope="session")
def full_run() -> DemoRun:
    """A run with the examples of the repository."""
    return run_demo()
