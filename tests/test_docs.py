"""The documentation agrees with the code."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from local.stack import Stack
from shared.settings import ServiceBusSettings, Settings, SharedAccessSettings

ROOT = Path(__file__).parents[1]
SETTINGS = (ROOT / "docs" / "settings.md").read_text()
README = (ROOT / "README.md").read_text()
SAMPLE = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
PLATFORM_SETTINGS = {"AzureWebJobsStorage", "FUNCTIONS_WORKER_RUNTIME"}


FIELDS = {
    name: kind.model_fields[field]
    for kind in (Settings, SharedAccessSettings, ServiceBusSettings)
    for name, field in kind.fields().items()
}


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_is_documented(name: Any) -> None:
    """docs/settings.md has a row for each setting, with its default and its description."""
    field = FIELDS[name]
    default = f"`{field.default}`" if field.default not in (None, (), "") else ""

    assert f"| `{name}` | {default} | {field.description} |" in SETTINGS


def test_sample_has_every_setting_and_no_other() -> None:
    """local.settings.sample.json has each setting, and none that does not exist."""
    assert set(SAMPLE) == set(FIELDS) | PLATFORM_SETTINGS


def test_sample_is_valid() -> None:
    """The values of the sample are valid and name the stand-ins."""
    assert Settings.read(SAMPLE).dps_url == "http://127.0.0.1:7090"
    assert ServiceBusSettings.read(SAMPLE).service_bus is not None


def test_readme_has_every_route(stack: Stack) -> None:
    """The table of routes in the README has each route with its methods, and no other."""
    rows = re.findall(r"^\| ((?:`[A-Z]+` ?)+) \| `([^`]+)` \|", README, re.MULTILINE)
    documented = {
        (method, path) for methods, path in rows for method in re.findall("[A-Z]+", methods)
    }

    served = {
        (m, f"/{function.route}")
        for function in stack.host.functions
        if function.name != "unknown_route"
        for m in function.methods
    }
    assert documented == served


@pytest.mark.parametrize(
    "document", [README, *(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))]
)
def test_relative_links_are_valid(document: Any) -> None:
    """Each relative link of the README and the docs names an existing file."""
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", document)

    assert [
        t for t in targets if not any((base / t).exists() for base in (ROOT, ROOT / "docs"))
    ] == []


CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
]
LAYERS = {c["containers"][0]: c["layers"] for c in CONTRACTS if "containers" in c}


@pytest.mark.parametrize("package", LAYERS)
def test_architecture_has_the_layers(package: str) -> None:
    """docs/architecture.md has the layers of each package as the import contracts have them."""
    text = " ".join((ROOT / "docs" / "architecture.md").read_text().split())

    assert f" {package} {' > '.join(LAYERS[package])} " in text
