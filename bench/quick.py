"""Whether a run is to be short: QUICK=1."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from local.host import environment


def is_quick() -> bool:
    """Whether a person wants to see something soon rather than everything."""
    return environment.setting("QUICK") not in (None, "0")
