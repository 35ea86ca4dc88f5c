"""The app as a whole: its functions and routes, their imports, and the depth of its calls."""

import ast
import json
import os
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import azure.functions as func
import httpx
import pytest
from httpx_aiohttp import AiohttpTransport

from functions import runtime
from local.host.app import load_functions
from local.stack import ROOT, Stack
from tests import secret_factory
from tests.functions.samples import DPS_ROUTES
from tests.secret_factory import connection_string

INVENTORY = json.loads((Path(__file__).parent / "inventory.json").read_text())
"""Every function of the app: name, trigger, methods, route and auth level."""
PUBLIC_ROUTES = {
    ("GET", "health/live"),
    ("GET", "openapi.json"),
    ("GET", "/"),
    ("GET", "docs"),
    ("GET", "docs/{name}"),
}


def run_python(code: str, **environment: str) -> str:
    """Returns what `code` prints in a new Python process in the app's folder."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("DPS_")}  # noqa: TID251  for the new process
    process = subprocess.run(  # noqa: S603  this Python
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=variables | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    secret_factory.outputs += [process.stdout, process.stderr]
    return process.stdout


def test_app_has_the_functions_of_the_inventory() -> None:
    """No function, route or auth level changes unnoticed."""
    functions = {}
    for function in load_functions(ROOT):
        trigger = function.trigger
        members = ("type", "methods", "route", "authLevel", "queueName", "connection")
        functions[function.name] = {name: trigger[name] for name in members if name in trigger}

    assert functions == INVENTORY


def test_every_operation_of_dps_has_its_route(stack: Stack) -> None:
    """Seven of enrollments and of groups, three of registration states."""
    operations = {
        "create_or_update": ("PUT", "/{id}"),
        "delete": ("DELETE", "/{id}"),
        "get": ("GET", "/{id}"),
        "patch": ("PATCH", "/{id}"),
        "get_attestation_mechanism": ("POST", "/{id}/attestationmechanism"),
        "query": ("POST", "/query"),
        "run_bulk_operation": ("POST", ""),
    }
    state_operations = {
        "get": ("GET", "/{id}"),
        "delete": ("DELETE", "/{id}"),
        "query": ("POST", "/{id}/query"),
    }
    routes = {
        function.name: (*function.methods, function.route) for function in stack.host.functions
    }

    for resource, path, expected in (
        ("enrollments", "enrollments", operations),
        ("enrollment_groups", "enrollmentGroups", operations),
        ("registration_states", "registrations", state_operations),
    ):
        assert {name: routes[f"{resource}_{name}"] for name in expected} == {
            name: (method, f"{path}{rest}") for name, (method, rest) in expected.items()
        }


def test_only_public_routes_need_no_function_key() -> None:
    """Every other route has auth level FUNCTION."""
    levels = {
        name: function["authLevel"] for name, function in INVENTORY.items() if "route" in function
    }
    public = {name for name, level in levels.items() if level != "FUNCTION"}

    assert public == {"health_live", "openapi", "start_page", "docs_page", "docs_file"}


@pytest.mark.parametrize("level", ["FUNCTION", "ADMIN", "ANONYMOUS"])
@pytest.mark.parametrize(
    ("setting", "names"),
    [
        ("PUBLIC_ROUTES_AUTH_LEVEL", ["health_live"]),
        ("DOCS_AUTH_LEVEL", ["docs_page", "openapi", "start_page"]),
    ],
)
def test_auth_level_of_public_routes_is_a_setting(
    setting: str, names: list[str], level: str
) -> None:
    """PUBLIC_ROUTES_AUTH_LEVEL of liveness, DOCS_AUTH_LEVEL of the documentation."""
    code = (
        "import json, function_app\n"
        "for function in function_app.app.get_functions():\n"
        f"    if function.get_function_name() in {names}:\n"
        "        print(json.loads(str(function))['bindings'][0]['authLevel'])\n"
    )

    levels = run_python(code, **{setting: level.lower()}).split()

    assert levels == [level] * len(names)


def test_sas_mode_makes_only_routes_of_dps_anonymous() -> None:
    """PATCH, rejected messages, allocation and all other routes keep function keys."""
    code = (
        "import json, function_app\n"
        "for function in function_app.app.get_functions():\n"
        "    trigger = json.loads(str(function))['bindings'][0]\n"
        "    if trigger.get('authLevel') == 'ANONYMOUS':\n"
        "        print(trigger['methods'][0], trigger['route'])\n"
    )

    lines = run_python(code, SHARED_ACCESS_POLICIES="[]").splitlines()

    assert {tuple(line.split()) for line in lines} == {
        *PUBLIC_ROUTES,
        *DPS_ROUTES,
        ("GET", "{*path}"),
    }


@pytest.mark.parametrize(
    ("setting", "level"),
    [("", "WARNING"), ("INFO", "INFO"), ("debug", "DEBUG"), ("much", "WARNING")],
)
def test_log_level_of_azure_sdks_is_a_setting(setting: str, level: str) -> None:
    """The setting AZURE_SDK_LOG_LEVEL; other log lines keep the level of the root logger."""
    code = (
        "import logging, function_app\n"
        "logging.basicConfig(level=logging.DEBUG)\n"
        "for name in ('azure.servicebus._pyamqp', 'azure.core', 'azure.identity', 'shared'):\n"
        "    print(logging.getLevelName(logging.getLogger(name).getEffectiveLevel()))\n"
    )

    levels = run_python(code, AZURE_SDK_LOG_LEVEL=setting).split()

    assert levels == [level, level, level, "DEBUG"]


@pytest.mark.parametrize(
    ("package", "foreign"), [("shared", "azure.functions"), ("functions", "httpx")]
)
def test_package_does_not_import(package: str, foreign: str) -> None:
    """`shared` imports no trigger library, `functions` no HTTP client."""
    importing = [
        file.name
        for file in ROOT.glob(f"{package}/**/*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if any(name == foreign or name.startswith(f"{foreign}.") for name in imported(node))
    ]

    assert importing == []


def imported(node: ast.AST) -> list[str]:
    """Returns the modules that a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


BODIES = {
    "create_or_update": b'{"registrationId": "a", "attestation": {"type": "symmetricKey"}}',
    "query": b'{"query": "SELECT *"}',
    "run_bulk_operation": b'{"mode": "delete", "enrollments": [{"registrationId": "a"}]}',
}

OPERATIONS = ["get", "create_or_update", "delete", "get_attestation_mechanism", *list(BODIES)[1:]]
FOLDERS = [ROOT / "functions", ROOT / "shared"]


@pytest.fixture
async def frames(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[str]]:
    """The files of the app that are on the stack when httpx sends."""
    files_on_stack: list[str] = []

    async def record_frames(*_: object, **__: object) -> None:
        files = [Path(frame.filename) for frame in traceback.extract_stack()]
        files_on_stack.extend(file.name for file in files if any(map(file.is_relative_to, FOLDERS)))
        raise httpx.ConnectError("recorded")

    monkeypatch.setattr(AiohttpTransport, "handle_async_request", record_frames)
    monkeypatch.setenv("DPS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("DPS_ENDPOINT", "")
    monkeypatch.setenv("DPS_CONNECTION_STRING", connection_string("127.0.0.1:9"))
    yield files_on_stack
    await runtime.aclose()


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_request_goes_through_five_frames(frames: list[str], operation: str) -> None:
    """From the trigger to the DPS call: the path must stay short."""
    triggers = {function.name: function.call for function in load_functions(ROOT)}
    request = func.HttpRequest(
        method="POST", url="/", body=BODIES.get(operation, b""), route_params={"id": "a"}
    )

    await triggers[f"enrollments_{operation}"](request)

    assert len(frames) == 5, frames
