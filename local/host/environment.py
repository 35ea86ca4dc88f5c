"""The process environment: app settings are environment variables, and here the host sets them."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from local.host.errors import AppRefusedError

# The host plays the platform, which gives an app its settings through the environment.
_variables = os.environ  # noqa: TID251

# azure-webjobs-sdk, FunctionIndexer: the second spelling is for shells that refuse dots in names.
_DISABLED = ("AzureWebJobs.{}.Disabled", "AzureWebJobs_{}_Disabled")


def setting(name: str) -> str | None:
    """The app setting `name`; one that is empty counts as not set, as on the platform."""
    return _variables.get(name) or None


def section(name: str) -> dict[str, str]:
    """The settings `name` and `name__…`: values by what follows, in lower case, "" for `name`.

    Names have no case, and ":" stands for "__":
    https://learn.microsoft.com/aspnet/core/fundamentals/configuration#environment-variables.
    """
    found: dict[str, str] = {}
    for variable, value in _variables.items():
        path = variable.lower().replace(":", "__")
        below = path.removeprefix(name.lower().replace(":", "__"))
        if value and below != path and (not below or below.startswith("__")):
            found[below.removeprefix("__")] = value
    return found


def is_disabled(function: str) -> bool:
    """Whether the settings switch `function` off; names of settings have no case."""
    names = {spelling.format(function).lower() for spelling in _DISABLED}
    values = [value for name, value in _variables.items() if name.lower() in names]
    return any(value.strip().lower() in {"true", "1"} for value in values)


@contextlib.contextmanager
def applied(settings: Mapping[str, str]) -> Iterator[None]:
    """Sets `settings` for as long as the context lasts, then puts back what was there."""
    before = {name: _variables.get(name) for name in settings}
    _variables.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            _variables.pop(name, None)
            _variables.update({} if value is None else {name: value})


def load_local_settings(app_dir: Path) -> None:
    """Takes the Values of `local.settings.json`, if there is one; variables already set win.

    The rule of Azure Functions Core Tools: https://learn.microsoft.com/azure/azure-functions/
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
        raise AppRefusedError([f"{path.name} is not JSON: {exc}"]) from exc
    if not isinstance(document, dict) or not isinstance(document.get("Values", {}), dict):
        raise AppRefusedError([f"{path.name} does not hold an object named Values"])
    if document.get("IsEncrypted"):
        raise AppRefusedError([f"{path.name} is encrypted: run `func settings decrypt`"])
    values: dict[str, object] = document.get("Values", {})
    return values
