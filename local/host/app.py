"""The app: imports its `function_app.py` and reads the functions registered there."""

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

from local.host.errors import AppStartError

ENTRY_POINT = "function_app.py"


@dataclass(frozen=True)
class AppFunction:
    """One function of the app; its bindings are as they would be in a function.json."""

    name: str
    call: Callable[..., Any]
    bindings: tuple[Mapping[str, Any], ...]
    script_dir: Path

    @property
    def trigger(self) -> Mapping[str, Any]:
        """The trigger binding; the library builds no function without one."""
        return next(binding for binding in self.bindings if _is_trigger(binding))

    @property
    def is_http(self) -> bool:
        """Whether the trigger is an HTTP trigger."""
        return str(self.trigger["type"]).lower() == "httptrigger"

    @property
    def takes_context(self) -> bool:
        """Whether the function has a `context` parameter for the invocation context."""
        return "context" in inspect.signature(self.call).parameters


@functools.cache
def load_functions(app_dir: Path) -> tuple[AppFunction, ...]:
    """
    Returns the functions of the app in `app_dir`, sorted by name, ignoring case, as Azure does.

    Cached per process and directory, because a FunctionApp lists its functions only once.
    """
    app = _find_app(_import_module(app_dir))
    try:
        registered = app.get_functions()
    except Exception as exc:
        raise AppStartError([f"{ENTRY_POINT}: {exc}"]) from exc
    functions = (_read_function(function, app_dir) for function in registered)
    return tuple(sorted(functions, key=lambda function: function.name.upper()))


def _import_module(app_dir: Path) -> ModuleType:
    path = app_dir / ENTRY_POINT
    if not path.exists():
        raise AppStartError([f"{ENTRY_POINT} is missing in {app_dir}"])
    # Appended, as Azure's worker does, and never removed: functions may import on their first call.
    if str(app_dir) not in sys.path:
        sys.path.append(str(app_dir))
    # A unique module name lets one process load several apps.
    name = f"function_app_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise AppStartError([f"{path} cannot be imported"])
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as exc:
        del sys.modules[name]
        raise AppStartError([f"{ENTRY_POINT} cannot be imported: {_describe(exc)}"]) from exc
    return module


def _describe(exc: Exception) -> str:
    text = traceback.format_exception_only(exc)[-1].strip()
    frame = traceback.extract_tb(exc.__traceback__)[-1]
    origin: SyntaxError | traceback.FrameSummary = exc if isinstance(exc, SyntaxError) else frame
    return f"{text} ({origin.filename}:{origin.lineno})"


def _find_app(module: ModuleType) -> func.FunctionRegister:
    apps = [value for value in vars(module).values() if isinstance(value, func.FunctionRegister)]
    if len(apps) != 1:
        raise AppStartError(
            [f"{ENTRY_POINT} must define exactly one FunctionApp, but defines {len(apps)}"]
        )
    return apps[0]


def _read_function(function: func.Function, app_dir: Path) -> AppFunction:
    return AppFunction(
        name=str(function.get_function_name()),
        call=function.get_user_function(),
        bindings=tuple(json.loads(binding) for binding in function.get_raw_bindings()),
        script_dir=app_dir,
    )


def _is_trigger(binding: Mapping[str, Any]) -> bool:
    return str(binding["type"]).lower().endswith("trigger")
