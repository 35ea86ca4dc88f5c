"""`python -m shared.allocation`: checks a policy file in a pipeline, and prints its JSON Schema."""

import json
from pathlib import Path

import pytest

from shared.allocation.__main__ import main
from tests.shared.allocation.samples import HUB_1

ROOT = Path(__file__).parents[3]
VALID = {"policies": {"default": {"rules": [], "otherwise": {"hub": HUB_1}}}}
INVALID = '{\n"polices": 1,\n"policies": {"default": {"rules": []}}}'


def test_schema_in_docs_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    """`--schema` prints exactly docs/allocation.schema.json."""
    status = main(["--schema"])

    assert status == 0
    assert capsys.readouterr().out == (ROOT / "docs" / "allocation.schema.json").read_text()


def test_faults_are_printed_with_exit_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each fault is printed with file, line, JSON Pointer and message."""
    path = tmp_path / "a.json"
    path.write_text(INVALID)

    status = main([str(path)])

    assert status == 1
    assert f"{path}:2: fault: /polices is not " in capsys.readouterr().out


def test_invalid_json_is_one_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message of a JSON error contains the line."""
    path = tmp_path / "a.json"
    path.write_text('{"policies":\n}')

    assert main([str(path)]) == 1
    assert capsys.readouterr().out.startswith(
        f"{path}: fault: is not JSON: Expecting value (line 2"
    )


def test_missing_file_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that cannot be read is an error message, not a traceback."""
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path / "none.json")])

    assert "cannot be read" in capsys.readouterr().err


def test_valid_file_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file without faults gives exit status 0."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps(VALID))

    assert main([str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: 0 faults, 0 warnings\n"
