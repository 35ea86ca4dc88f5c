"""`template`: files to fill in."""

import itertools
from pathlib import Path

import pytest

from tests.cli.conftest import Run

KINDS = ("enrollment", "group")
ATTESTATIONS = ("symmetricKey", "x509", "tpm")
COMBINATIONS = [pair for pair in itertools.product(KINDS, ATTESTATIONS) if pair != ("group", "tpm")]


@pytest.mark.parametrize("file_format", ["csv", "ndjson"])
@pytest.mark.parametrize(("kind", "attestation"), COMBINATIONS)
def test_template_is_valid(run_cli: Run, kind: str, attestation: str, file_format: str) -> None:
    """The example of a template has no fault, whatever the kind, attestation and format."""
    ran = run_cli("template", "--kind", kind, "--attestation", attestation, "--format", file_format)
    Path("template").write_text(ran.out)

    report = run_cli("check", "template", "--json")

    assert (ran.code, report.code) == (0, 0), report.out
    assert report.json["rows"] == 1


def test_every_column_has_a_comment(run_cli: Run) -> None:
    """A line of comment precedes the header for each column, with what is allowed."""
    lines = run_cli("template").out.splitlines()

    comments = [line for line in lines if line.startswith("#")]
    header = lines[len(comments)].split(",")
    assert [comment.removeprefix("# ").rpartition(": ")[0] for comment in comments[:-3]] == (
        header[:-3]
    )
    assert "# provisioningStatus: one of enabled, disabled" in comments


def test_group_template_has_the_columns_of_groups(run_cli: Run) -> None:
    """A group has its own id, and signing certificates in place of client certificates."""
    out = run_cli("template", "--kind", "group", "--attestation", "x509").out

    assert "# enrollmentGroupId: text; required" in out
    assert "signingCertificates" in out
    assert not any(name in out for name in ("clientCertificates", "deviceId", "registrationId"))


def test_groups_have_no_tpm(run_cli: Run) -> None:
    """A group with TPM attestation is a usage error."""
    assert run_cli("template", "--kind", "group", "--attestation", "tpm").code == 2


def test_template_for_a_spreadsheet_with_semicolons(run_cli: Run) -> None:
    """The delimiter can be that of the spreadsheet."""
    Path("template").write_text(run_cli("template", "--delimiter", "semicolon").out)

    report = run_cli("check", "template", "--json")

    assert (report.code, report.json["delimiter"]) == (0, ";")
