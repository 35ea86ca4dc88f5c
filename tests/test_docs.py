"""The documents say what the code says."""

import json
import re
from pathlib import Path

import pytest

from local.stack import Stack
from shared.settings import MessagingSettings, Settings

ROOT = Path(__file__).parents[1]
SETTINGS = (ROOT / "docs" / "settings.md").read_text()
README = (ROOT / "README.md").read_text()
SAMPLE = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
OF_THE_PLATFORM = {"AzureWebJobsStorage", "FUNCTIONS_WORKER_RUNTIME"}


FIELDS = {
    name: kind.model_fields[field]
    for kind in (Settings, MessagingSettings)
    for name, field in kind.fields().items()
}


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_is_documented(name):
    """docs/settings.md has a row for each setting, with its default and its meaning."""
    field = FIELDS[name]
    default = f"`{field.default}`" if field.default not in (None, (), "") else ""

    assert f"| `{name}` | {default} | {field.description} |" in SETTINGS


def test_sample_holds_every_setting_and_no_other():
    """local.settings.sample.json can be copied: nothing is missing, nothing is made up."""
    assert set(SAMPLE) == set(FIELDS) | OF_THE_PLATFORM


def test_sample_is_valid():
    """The sample's own values are good settings: those of the stand-ins."""
    assert Settings.read(SAMPLE).dps_url == "http://127.0.0.1:7090"
    assert MessagingSettings.read(SAMPLE).service_bus is not None


def test_readme_names_every_route(stack: Stack):
    """The table of routes in the README has each route with its method, and no other."""
    rows = re.findall(r"^\| ((?:`[A-Z]+` ?)+) \| `([^`]+)` \|", README, re.MULTILINE)
    documented = {
        (method, path) for methods, path in rows for method in re.findall("[A-Z]+", methods)
    }

    served = {
        (m, f"/{function.route}") for function in stack.host.functions for m in function.methods
    }
    assert documented == served


@pytest.mark.parametrize(
    "document", [README, *(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))]
)
def test_links_lead_somewhere(document):
    """Every relative link of the README and the docs names a file that is there."""
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", document)

    assert [
        t for t in targets if not any((base / t).exists() for base in (ROOT, ROOT / "docs"))
    ] == []
