"""What several files show of one run."""

import pytest

from tests.local.demo_runs import demo


@pytest.fixture(scope="session")
def shown():
    """One run of the demo on the files of the repository."""
    return demo()
