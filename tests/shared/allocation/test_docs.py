"""docs/allocation.md agrees with the code."""

import json
import re
from pathlib import Path

import pytest

from shared.allocation import Assignment
from shared.allocation.certificates import CERTIFICATE_FACTS
from shared.allocation.facts import CERTIFICATES, DOCUMENTS, FACTS
from shared.allocation.operators import OPERATORS
from shared.allocation.policy_file.load import parse_policies
from tests.shared.allocation.samples import HUB_2, make_request

GUIDE = (Path(__file__).parents[3] / "docs" / "allocation.md").read_text()
ROWS = {
    **{name: operator.description for name, operator in OPERATORS.items()},
    **{name: fact.description for name, fact in FACTS.items()},
    **{name: fact.description for name, fact in CERTIFICATE_FACTS.items()},
    **{f"{name}…": description for name, (_, description) in DOCUMENTS.items()},
    **{f"{name}.…": description for name, (_, description) in CERTIFICATES.items()},
}


@pytest.mark.parametrize("name", ROWS)
def test_operators_and_facts_have_their_rows(name: str) -> None:
    """Each operator, fact and fact of a certificate has a row with the description of the code."""
    assert f"| `{name}` | {ROWS[name]} |" in GUIDE


def test_first_example_works() -> None:
    """The first policy file of the guide decides as the guide says, and has no warnings."""
    example = re.findall(r"```json\n(\{\n  \"\$schema\".*?)```", GUIDE, re.DOTALL)[0]
    policies = parse_policies(example.encode())

    decision = policies.get("default")(make_request(currentIotHubHostName=HUB_2))

    assert decision == Assignment(hub=HUB_2, rule="stay")
    assert policies.warnings == ()


def test_example_of_the_log_is_json() -> None:
    """The log line shown can be parsed by a query."""
    (line,) = re.findall(r"```json\n(\{\"event\".*?)```", GUIDE, re.DOTALL)

    assert json.loads(line)["event"] == "allocation"
