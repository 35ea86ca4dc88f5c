"""App settings: environment variables, which the host sets as the Azure platform does."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from local.host.errors import AppStartError

# The host acts as the platform, which passes settings to an app through the environment.
_variables = os.environ  # noqa: TID251

# azure-webjobs-sdk, FunctionIndexer: the second form is for shells that do not allow dots in names.
_DISABLED = ("AzureWebJobs.{}.Disabled", "AzureWebJobs_{}_Disabled")


LOCAL_HOST_NAMES = {"WEBSITE_HOSTNAME": "localhost", "SHARED_ACCESS_HOSTS": "127.0.0.1"}
"""Settings that name a local host, for signatures in SAS mode. App Service sets the first one."""


def setting(name: str) -> str | None:
    """Returns the app setting `name`; an empty one counts as not set, as in Azure."""
    return _variables.get(name) or None


def section(name: str) -> dict[str, str]:
    """
    Returns the settings `name` and `name__…`, keyed by the part after `name__` in lower case.

    The setting `name` itself has the key "". Names are case-insensitive, and ":" means "__":
    https://learn.microsoft.com/aspnet/core/fundamentals/configuration#environment-variables.
    """
    members: dict[str, str] = {}
    for variable, value in _variables.items():
        path = variable.lower().replace(":", "__")
        suffix = path.removeprefix(name.lower().replace(":", "__"))
        if value and suffix != path and (not suffix or suffix.startswith("__")):
            members[suffix.removeprefix("__")] = value
    return members


def is_disabled(function: str) -> bool:
    """Returns whether a setting disables `function`; setting names are case-insensitive."""
    names = {name.format(function).lower() for name in _DISABLED}
    values = [value for name, value in _variables.items() if name.lower() in names]
    return any(value.strip().lower() in {"true", "1"} for value in values)


def unset(settings: Mapping[str, str]) -> dict[str, str]:
    """Returns those of `settings` that the environment does not set."""
    return {name: value for name, value in settings.items() if not setting(name)}


@contextlib.contextmanager
def applied(settings: Mapping[str, str]) -> Iterator[None]:
    """Sets `settings` while the context lasts, then restores the earlier values."""
    before = {name: _variables.get(name) for name in settings}
    _variables.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            _variables.pop(name, None)
            _variables.update({} if value is None else {name: value})


def load_local_settings(app_dir: Path) -> None:
    """
    Sets the `Values` of `local.settings.json`, if it exists; variables already set take precedence.

    As Azure Functions Core Tools does: https://learn.microsoft.com/azure/azure-functions/
    functions-develop-local#local-settings-file.
    """
    path = app_dir / "local.settings.json"
    if not path.exists():
        return
    for name, value in _values(path).items():
        if not setting(name) and value not in (None, ""):
            _variables[name] = str(value)


def _values(path: Path) -> dict[str, object]:
    try:
        document = json.loads(path.read_text("utf-8-sig"))
    except ValueError as exc:
        raise AppStartError([f"{path.name} is not valid JSON: {exc}"]) from exc
    if not isinstance(document, dict) or not isinstance(document.get("Values", {}), dict):
        raise AppStartError([f"{path.name} must be a JSON object whose member Values is an object"])
    if document.get("IsEncrypted"):
        raise AppStartError([f"{path.name} is encrypted; run `func settings decrypt`"])
    values: dict[str, object] = document.get("Values", {})
    return values
