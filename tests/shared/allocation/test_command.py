"""`python -m shared.allocation`: a policy file checked in a pipeline, and its JSON Schema."""

import json
from pathlib import Path

import pytest

from shared.allocation.__main__ import main
from shared.allocation.schema import schema
from tests.shared.allocation.asking import HUB_1

ROOT = Path(__file__).parents[3]
GOOD = {"policies": {"default": {"rules": [], "otherwise": {"hub": HUB_1}}}}
BROKEN = '{\n"polices": 1,\n"policies": {"default": {"rules": []}}}'


def test_schema_that_is_shipped_is_the_one_of_the_code():
    """docs/allocation.schema.json is what `python -m shared.allocation --schema` prints."""
    shipped = json.loads((ROOT / "docs" / "allocation.schema.json").read_text())

    assert shipped == schema()


def test_command_names_faults_and_fails(tmp_path, capsys):
    """`python -m shared.allocation FILE` is for a pipeline: file, line, place, words, status."""
    path = tmp_path / "a.json"
    path.write_text(BROKEN)

    status = main([str(path)])

    assert status == 1
    assert f"{path}:2: fault: /polices is not known here" in capsys.readouterr().out


def test_command_says_where_json_ends(tmp_path, capsys):
    """A file that is no JSON has one fault, and its words have the line."""
    path = tmp_path / "a.json"
    path.write_text('{"policies":\n}')

    assert main([str(path)]) == 1
    assert capsys.readouterr().out.startswith(
        f"{path}: fault: is not JSON: Expecting value (line 2"
    )


def test_command_without_a_file_to_read_fails(tmp_path, capsys):
    """A name that leads nowhere is said, without a traceback."""
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path / "none.json")])

    assert "cannot be read" in capsys.readouterr().err


def test_command_passes_a_good_file(tmp_path, capsys):
    """A file without faults passes."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps(GOOD))

    assert main([str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: 0 faults, 0 warnings\n"


def test_command_prints_the_schema(capsys):
    """The schema can be made anew."""
    assert main(["--schema"]) == 0
    assert json.loads(capsys.readouterr().out) == schema()
