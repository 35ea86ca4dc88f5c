"""The settings in `host.json` that this host applies."""

import json
import os
import re
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from local.host.errors import AppStartError

# .NET's TimeSpan: optional days before the hours, optional fractions after the seconds.
_TIME_SPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{1,2})(?::(\d{1,2}(?:\.\d{1,7})?))?")


@dataclass(frozen=True)
class ServiceBusOptions:
    """
    The members of `extensions.serviceBus` that apply to triggers of single messages.

    https://learn.microsoft.com/azure/azure-functions/functions-bindings-service-bus#hostjson-settings
    """

    auto_complete: bool = True
    max_concurrent_calls: int = 16 * (os.cpu_count() or 1)
    max_lock_renewal: timedelta = timedelta(minutes=5)


@dataclass(frozen=True)
class HostJson:
    """The settings read from `host.json`."""

    route_prefix: str
    service_bus: ServiceBusOptions = field(default_factory=ServiceBusOptions)


def read_host_json(app_dir: Path) -> HostJson:
    """
    Reads the app's `host.json`; raises AppStartError if it is missing or invalid.

    https://learn.microsoft.com/azure/azure-functions/functions-host-json
    """
    extensions = _member(_document(app_dir), "extensions")
    prefix = _member(extensions, "http").get("routePrefix", "api")
    if not isinstance(prefix, str):
        raise AppStartError(["host.json: extensions.http.routePrefix must be a string"])
    service_bus = _service_bus(_member(extensions, "serviceBus"))
    return HostJson(route_prefix=prefix.strip("/"), service_bus=service_bus)


def _document(app_dir: Path) -> dict[str, Any]:
    path = app_dir / "host.json"
    try:
        document = json.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError as exc:
        raise AppStartError([f"host.json is missing in {app_dir}"]) from exc
    except ValueError as exc:
        raise AppStartError([f"host.json is not valid JSON: {exc}"]) from exc
    if not isinstance(document, dict) or document.get("version") != "2.0":
        raise AppStartError(['host.json must be an object with "version": "2.0"'])
    return document


def _service_bus(given: dict[str, Any]) -> ServiceBusOptions:
    defaults = ServiceBusOptions()
    auto_complete = given.get("autoCompleteMessages", defaults.auto_complete)
    if not isinstance(auto_complete, bool):
        raise _invalid("autoCompleteMessages", "true or false")
    calls = given.get("maxConcurrentCalls", defaults.max_concurrent_calls)
    if type(calls) is not int or calls < 1:
        raise _invalid("maxConcurrentCalls", "an integer greater than 0")
    renewal = _time_span(given.get("maxAutoLockRenewalDuration", "00:05:00"))
    if renewal is None:
        raise _invalid("maxAutoLockRenewalDuration", "a time span such as 00:05:00")
    return ServiceBusOptions(auto_complete, calls, renewal)


def _invalid(name: str, expected: str) -> AppStartError:
    return AppStartError([f"host.json: extensions.serviceBus.{name} must be {expected}"])


def _time_span(text: object) -> timedelta | None:
    match = _TIME_SPAN.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _member(document: dict[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name, {})
    if not isinstance(value, dict):
        raise AppStartError([f"host.json: {name} must be an object"])
    return value
