"""azure.yaml and its hooks."""

import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from local.package import build
from tests import secret_factory
from tests.infra.agreement import ROOT
from tests.infra.bicep_deployment import INFRA, deploy
from tests.infra.bicep_syntax import read_template

AZURE_YAML = yaml.safe_load((ROOT / "azure.yaml").read_text())


class Strict(BaseModel):
    """A part of azure.yaml: docs page "Azure Developer CLI's azure.yaml schema"."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Script(Strict):
    shell: Literal["sh", "pwsh"]
    run: str = Field(min_length=1)
    interactive: bool = False
    continueOnError: bool = False  # noqa: N815  azd's name


class Hook(Strict):
    posix: Script
    windows: Script


class ServiceHooks(Strict):
    prepackage: Hook


class Service(Strict):
    project: str
    host: Literal["function"]
    language: Literal["python"]
    dist: str
    remoteBuild: bool  # noqa: N815
    hooks: ServiceHooks


class Infra(Strict):
    provider: Literal["bicep"]
    path: str


class Services(Strict):
    functions: Service


class ProjectHooks(Strict):
    postdeploy: Hook


class AzureYaml(Strict):
    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    infra: Infra
    services: Services
    hooks: ProjectHooks


def test_azure_yaml_is_valid() -> None:
    """azure.yaml has only members that azd documents, each with a value that azd accepts."""
    parsed = AzureYaml.model_validate(AZURE_YAML)

    assert (ROOT / parsed.infra.path / "main.bicepparam").exists()


def test_planted_error_in_azure_yaml_is_found() -> None:
    """A misspelt member is found."""
    services = {"functions": AZURE_YAML["services"]["functions"] | {"remotebuild": True}}

    with pytest.raises(ValidationError, match="remotebuild"):
        AzureYaml.model_validate(AZURE_YAML | {"services": services})


def test_azd_finds_the_app() -> None:
    """The app has the tag by which azd finds where to deploy the service."""
    tags = [r.body["tags"] for r in deploy().resources if r.type == "Microsoft.Web/sites"]

    assert [tag["azd-service-name"] for tag in tags] == list(AZURE_YAML["services"])


def run_script(script: str, directory: Path, **environment: str) -> str:
    """Runs a script of azd's in `directory`, where `bin` comes first in PATH; returns its output."""
    path = f"{directory / 'bin'}:{os.environ['PATH']}"  # noqa: TID251  the child's
    ran = subprocess.run(  # noqa: S603  a script of this repository
        ["/bin/sh", "-c", script],
        cwd=directory,
        env={"PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    secret_factory.outputs += [ran.stdout, ran.stderr]
    return ran.stdout


def add_command(directory: Path, name: str, script: str) -> None:
    """Adds a command to the `bin` of a directory."""
    file = directory / "bin" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


def test_azd_deploys_the_package(tmp_path: Path) -> None:
    """The hook unpacks the package, compiled modules included, with an empty ignore file."""
    package = zipfile.ZipFile(build(tmp_path / "dist" / "app.zip"))
    add_command(tmp_path, "make", '[ "$1" = package ]')
    (tmp_path / ".venv").symlink_to(sys.prefix)
    service = AZURE_YAML["services"]["functions"]
    (tmp_path / service["dist"]).mkdir(parents=True)
    (tmp_path / service["dist"] / "removed.py").touch()

    run_script(service["hooks"]["prepackage"]["posix"]["run"], tmp_path)

    root = tmp_path / service["dist"]
    files = {str(file.relative_to(root)) for file in root.rglob("*") if file.is_file()}
    assert files == {*package.namelist(), ".funcignore"}
    assert (root / ".funcignore").read_text() == ""


OUTPUTS = {name: str(value) for name, value in deploy().outputs.items()} | {
    "AZURE_SUBSCRIPTION_ID": "subscription-1"
}


def test_readiness_is_deployed_after_the_code(tmp_path: Path) -> None:
    """The hook gives the template each parameter that has no default, from the outputs."""
    shutil.copytree(INFRA, tmp_path / "infra")
    add_command(tmp_path, "az", 'for a in "$@"; do echo "$a" >> az.log; done')

    printed = run_script(AZURE_YAML["hooks"]["postdeploy"]["posix"]["run"], tmp_path, **OUTPUTS)

    arguments = (tmp_path / "az.log").read_text().split("\n")
    given = {a.split("=")[0]: a.split("=")[1] for a in arguments if "=" in a}
    declared = read_template(INFRA / "readiness.bicep")
    required = {n for n, d in declared.items() if d.kind == "param" and d.value is None}
    assert given.keys() == required
    assert given["functionAppName"] == OUTPUTS["FUNCTION_APP_NAME"]
    assert f"WEBHOOK_KEY=$({OUTPUTS['WEBHOOK_KEY_COMMAND']})" in printed
    assert OUTPUTS["FIRST_ENROLLMENT_GROUP_COMMAND"] in printed


def test_the_next_commands_can_be_pasted(tmp_path: Path) -> None:
    """The printed commands make a key and an enrollment group whose webhook has the key."""
    shutil.copytree(INFRA, tmp_path / "infra")
    add_command(tmp_path, "az", 'for a in "$@"; do echo "$a" >> az.log; done; echo key-1')
    printed = run_script("sh infra/after-deploy.sh", tmp_path, **OUTPUTS)

    run_script("\n".join(re.findall(r"^  (.+)$", printed, re.MULTILINE)), tmp_path)

    called = (tmp_path / "az.log").read_text()
    assert f"--webhook-url\n{OUTPUTS['WEBHOOK_URL']}?code=key-1\n" in called


def test_a_failed_availability_test_does_not_hide_what_is_next(tmp_path: Path) -> None:
    """Without a session of the Azure CLI the hook says so, and prints the rest."""
    shutil.copytree(INFRA, tmp_path / "infra")
    add_command(tmp_path, "az", "exit 1")

    printed = run_script("sh infra/after-deploy.sh 2>&1", tmp_path, **OUTPUTS)

    assert "azd hooks run postdeploy" in printed
    assert OUTPUTS["FUNCTION_APP_URL"] in printed


def test_hooks_use_outputs_only() -> None:
    """The variables of both scripts are the same, each an output of the template or azd's own."""
    shell = set(re.findall(r"(?<!\\)\$([A-Z_]+)", (INFRA / "after-deploy.sh").read_text()))
    powershell = set(re.findall(r"\$env:([A-Z_]+)", (INFRA / "after-deploy.ps1").read_text()))

    assert shell == powershell
    assert shell <= OUTPUTS.keys()
