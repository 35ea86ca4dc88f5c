"""`host.json`: what of it matters to HTTP functions."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.host.errors import AppRefusedError


@dataclass(frozen=True)
class HostJson:
    """The settings read from `host.json`."""

    route_prefix: str


def read_host_json(app_dir: Path) -> HostJson:
    """Reads the app's `host.json`; without one, or with a broken one, no app starts.

    https://learn.microsoft.com/azure/azure-functions/functions-host-json
    """
    path = app_dir / "host.json"
    try:
        document = json.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError as exc:
        raise AppRefusedError([f"there is no host.json in {app_dir}"]) from exc
    except ValueError as exc:
        raise AppRefusedError([f"host.json is not JSON: {exc}"]) from exc
    if not isinstance(document, dict) or document.get("version") != "2.0":
        raise AppRefusedError(['host.json does not say "version": "2.0"'])
    prefix = _member(_member(document, "extensions"), "http").get("routePrefix", "api")
    if not isinstance(prefix, str):
        raise AppRefusedError(["host.json: extensions.http.routePrefix is not a string"])
    return HostJson(route_prefix=prefix.strip("/"))


def _member(document: dict[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name, {})
    if not isinstance(value, dict):
        raise AppRefusedError([f"host.json: {name} is not an object"])
    return value
