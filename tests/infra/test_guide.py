"""docs/deploy.md agrees with the templates."""

import re

from tests.infra.agreement import ROLE_ASSIGNMENTS, ROLES, ROOT
from tests.infra.bicep_deployment import AZD, INFRA, deploy

GUIDE = (ROOT / "docs" / "deploy.md").read_text()


def test_guide_has_every_parameter() -> None:
    """docs/deploy.md explains each variable of main.bicepparam that is not of a setting."""
    text = (INFRA / "main.bicepparam").read_text()
    variables = set(re.findall(r"readEnvironmentVariable\('(\w+)'", text))

    documented = (ROOT / "docs" / "settings.md").read_text() + GUIDE
    explained = {*AZD, *re.findall(r"`(\w+)`", documented)}
    assert (
        sorted(n for n in variables - explained if n.removesuffix("_SECRET") not in explained) == []
    )


def test_guide_has_every_role_and_its_reason() -> None:
    """docs/deploy.md has a row for each role that may be assigned, and no other."""
    table = GUIDE.partition("| Role | Scope | Reason |")[2].partition("\n\n")[0]

    rows = re.findall(r"^\| ([A-Z][\w ]+) \| .+ \| .+ \|$", table, re.MULTILINE)
    assert sorted(rows) == sorted(ROLES.values())
    assert {role for role, _ in ROLE_ASSIGNMENTS} <= set(rows)


def test_guide_has_every_alert() -> None:
    """docs/deploy.md explains each alert."""
    alerts = [r.name for r in deploy().resources if r.type == "Microsoft.Insights/metricAlerts"]

    names = {re.sub(r"^test-(stuck-)?.*", r"\1", n) or n.removeprefix("test-") for n in alerts}
    assert len(names) == 6
    for name in names:
        assert f"| `{name}" in GUIDE
