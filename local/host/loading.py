"""Loads an app: imports its `function_app` and asks for the functions registered there."""

import functools
import hashlib
import importlib.util
import inspect
import json
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import azure.functions as func

from local.host.errors import AppRefusedError

ENTRY_POINT = "function_app.py"


@dataclass(frozen=True)
class AppFunction:
    """One function of the app, with its bindings as its function.json would hold them."""

    name: str
    call: Callable[..., Any]
    bindings: tuple[Mapping[str, Any], ...]
    script_dir: Path

    @property
    def trigger(self) -> Mapping[str, Any]:
        """The binding that starts the function; the library builds no function without one."""
        return next(binding for binding in self.bindings if _is_trigger(binding))

    @property
    def is_http(self) -> bool:
        """Whether HTTP requests start the function."""
        return str(self.trigger["type"]).lower() == "httptrigger"

    @property
    def takes_context(self) -> bool:
        """Whether the function asks for the invocation's context, by the one name it may have."""
        return "context" in inspect.signature(self.call).parameters


@functools.cache
def load_functions(app_dir: Path) -> tuple[AppFunction, ...]:
    """The functions of the app in `app_dir`, sorted by name without case, the host's order.

    Asked once per process and directory: a FunctionApp refuses to list its functions twice.
    """
    app = _find_app(_import(app_dir))
    try:
        registered = app.get_functions()
    except Exception as exc:
        raise AppRefusedError([f"{ENTRY_POINT}: {exc}"]) from exc
    functions = (_read(function, app_dir) for function in registered)
    return tuple(sorted(functions, key=lambda function: function.name.upper()))


def _import(app_dir: Path) -> ModuleType:
    path = app_dir / ENTRY_POINT
    if not path.exists():
        raise AppRefusedError([f"there is no {ENTRY_POINT} in {app_dir}"])
    # Appended, as Azure's worker does; for good, since functions import on their first call too.
    if str(app_dir) not in sys.path:
        sys.path.append(str(app_dir))
    # A name of its own lets one process load several apps, whatever else it has imported.
    name = f"function_app_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise AppRefusedError([f"{path} cannot be imported"])
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as exc:
        del sys.modules[name]
        raise AppRefusedError([f"{ENTRY_POINT} cannot be imported: {_reason(exc)}"]) from exc
    return module


def _reason(exc: Exception) -> str:
    text = traceback.format_exception_only(exc)[-1].strip()
    frame = traceback.extract_tb(exc.__traceback__)[-1]
    place = f"{exc.filename}:{exc.lineno}" if isinstance(exc, SyntaxError) else None
    return f"{text} ({place or f'{frame.filename}:{frame.lineno}'})"


def _find_app(module: ModuleType) -> func.FunctionRegister:
    apps = [value for value in vars(module).values() if isinstance(value, func.FunctionRegister)]
    if len(apps) != 1:
        raise AppRefusedError([f"{ENTRY_POINT} holds {len(apps)} FunctionApps instead of one"])
    return apps[0]


def _read(function: func.Function, app_dir: Path) -> AppFunction:
    return AppFunction(
        name=str(function.get_function_name()),
        call=function.get_user_function(),
        bindings=tuple(json.loads(binding) for binding in function.get_raw_bindings()),
        script_dir=app_dir,
    )


def _is_trigger(binding: Mapping[str, Any]) -> bool:
    return str(binding["type"]).lower().endswith("trigger")
