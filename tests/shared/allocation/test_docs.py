"""docs/allocation.md says what the code says."""

import json
import re
from pathlib import Path

import pytest

from shared.allocation.certificates import MEMBERS
from shared.allocation.facts import CERTIFICATES, FACTS, FAMILIES
from shared.allocation.files import parsed
from shared.allocation.operators import OPERATORS
from tests.shared.allocation.asking import HUB_2, asked

GUIDE = (Path(__file__).parents[3] / "docs" / "allocation.md").read_text()
ROWS = {
    **{name: row.meaning for name, row in (OPERATORS | FACTS | MEMBERS).items()},
    **{f"{name}…": meaning for name, (_, meaning) in FAMILIES.items()},
    **{f"{place}.…": meaning for place, (_, meaning) in CERTIFICATES.items()},
}


@pytest.mark.parametrize("name", ROWS)
def test_every_word_of_the_language_is_in_the_guide(name):
    """Each operator, fact and member of a certificate has its row, with its meaning."""
    assert f"| `{name}` | {ROWS[name]} |" in GUIDE


def test_first_rule_of_the_guide_works():
    """What the guide tells people to copy decides as it says, and nothing about it is odd."""
    example = re.findall(r"```json\n(\{\n  \"\$schema\".*?)```", GUIDE, re.DOTALL)[0]
    policies = parsed(example.encode())

    found = policies.named("default")(asked(currentIotHubHostName=HUB_2))

    assert (found.rule, found.hub, policies.warnings) == ("stay", HUB_2, ())


def test_line_of_the_log_in_the_guide_is_json():
    """The line shown is one that a query can read."""
    (line,) = re.findall(r"```json\n(\{\"event\".*?)```", GUIDE, re.DOTALL)

    assert json.loads(line)["event"] == "allocation"
