"""Example files that are invalid are rejected before anything is started."""

import json
import re
from pathlib import Path

import pytest

from local.demo.examples import ExamplesError, load_examples
from tests.local.demo.demo_runs import write_enrollment


@pytest.mark.parametrize("text", ["{", "[]", '{"registrationId": 1}', "\udcff"])
def test_invalid_enrollment_is_rejected(tmp_path: Path, text: str) -> None:
    """The error names an enrollment's file that is not JSON or has no id."""
    write_enrollment(tmp_path, "good-1")
    broken = tmp_path / "enrollments" / "broken.json"
    broken.write_text(text, "utf-8", "surrogateescape")

    with pytest.raises(ExamplesError, match=re.escape(str(broken))):
        load_examples(tmp_path)


def test_invalid_fleet_is_rejected(tmp_path: Path) -> None:
    """The error names a fleet's file whose devices have no ids."""
    write_enrollment(tmp_path, "good-1")
    (tmp_path / "fleets").mkdir()
    broken = tmp_path / "fleets" / "broken.json"
    group = {"enrollmentGroupId": "g"}
    broken.write_text(json.dumps({"policy": "p", "enrollmentGroup": group, "devices": [{}]}))

    with pytest.raises(ExamplesError, match=re.escape(str(broken))):
        load_examples(tmp_path)
