"""The benchmarks' own modules: scripts, which find each other beside them."""

import importlib
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture
def bench(monkeypatch):
    """Imports one of them by name, and forgets all of them in the end."""
    monkeypatch.syspath_prepend(str(BENCH))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and BENCH.name in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]
