"""The files for GitHub and the editor."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = {
    path.name: yaml.safe_load(path.read_text()) for path in (ROOT / ".github/workflows").iterdir()
}
FORMS = ("bug", "feature")


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflows_are_pinned_and_have_the_least_rights(name: str) -> None:
    """Each action is pinned by a commit, and the token may do only what the workflow needs."""
    workflow: dict[Any, Any] = WORKFLOWS[name]
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]

    for step in steps:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step.get("uses", "a/b@" + "0" * 40))
    rights = {"ci.yml": {"contents": "read"}}
    assert workflow["permissions"] == rights.get(name, {"contents": "read", "id-token": "write"})
    assert "secrets." not in json.dumps(workflow)


def test_ci_tests_every_supported_version() -> None:
    """CI runs what the Makefile and README promise, on each version of Python, and builds infra/."""
    test, infra = WORKFLOWS["ci.yml"]["jobs"].values()

    assert test["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    commands = [step.get("run", "") for step in test["steps"]]
    assert {"make check", "make test", "make test-all"} <= set(commands)
    built = " ".join(step.get("run", "") for step in infra["steps"])
    assert re.findall(r"[\w-]+\.bicep(?:param)?", built) == [
        "main.bicepparam",
        "main.bicep",
        "readiness.bicep",
    ]


def test_issue_forms_and_updates_are_valid() -> None:
    """Issue forms have what GitHub requires, and both kinds of dependencies are updated."""
    forms = [yaml.safe_load((ROOT / f".github/ISSUE_TEMPLATE/{n}.yml").read_text()) for n in FORMS]
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())["updates"]

    for form in forms:
        assert form.keys() == {"name", "description", "body"}
        assert all("label" in f["attributes"] for f in form["body"] if f["type"] != "markdown")
    assert [update["package-ecosystem"] for update in updates] == ["pip", "github-actions"]


@pytest.mark.parametrize("path", sorted((ROOT / ".vscode").iterdir()), ids=lambda path: path.name)
def test_editor_files_are_valid(path: Path) -> None:
    """Each file of the editor is JSON."""
    assert json.loads(path.read_text())


def test_editor_tasks_exist() -> None:
    """The launch configurations and tasks name tasks and make targets that exist."""
    tasks = json.loads((ROOT / ".vscode" / "tasks.json").read_text())["tasks"]
    launches = json.loads((ROOT / ".vscode" / "launch.json").read_text())["configurations"]
    labels = {task["label"] for task in tasks}

    needed = {label for task in tasks for label in task.get("dependsOn", [])}
    needed |= {launch["preLaunchTask"] for launch in launches if "preLaunchTask" in launch}
    assert needed <= labels
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make (\w+)", json.dumps(tasks)):
        assert f"\n{target}:" in makefile
