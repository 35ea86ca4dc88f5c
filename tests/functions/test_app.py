"""The app as a whole: what it answers to, what it loads, how deep a request goes."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.stack import Stack
from tests import secret_factory

ROOT = Path(__file__).parents[2]

VERBS = {
    "create_or_update": ("PUT", "{}/{{id}}"),
    "delete": ("DELETE", "{}/{{id}}"),
    "get": ("GET", "{}/{{id}}"),
    "patch": ("PATCH", "{}/{{id}}"),
    "get_attestation_mechanism": ("POST", "{}/{{id}}/attestationmechanism"),
    "query": ("POST", "{}/query"),
    "run_bulk_operation": ("POST", "{}"),
}
ROUTES = {
    f"{resource}_{verb}": (method, route.format(path))
    for resource, path in (
        ("enrollments", "enrollments"),
        ("enrollment_groups", "enrollmentGroups"),
    )
    for verb, (method, route) in VERBS.items()
} | {
    "registration_states_get": ("GET", "registrations/{id}"),
    "registration_states_delete": ("DELETE", "registrations/{id}"),
    "registration_states_query": ("POST", "registrations/{id}/query"),
    "allocation_decide": ("POST", "allocation"),
    "allocation_decide_by_policy": ("POST", "allocation/{policy}"),
    "allocation_explain": ("POST", "allocation/{policy}/explain"),
    "health_live": ("GET", "health/live"),
    "health_ready": ("GET", "health/ready"),
}

COSTLY = {"httpx", "aiohttp", "azure.identity", "azure.servicebus", "cryptography"}


def run_python(code: str, **environment: str) -> str:
    """What `code` prints in a Python of its own, started in the app's directory."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DPS_")}  # noqa: TID251  the child's
    ran = subprocess.run(  # noqa: S603  our own Python
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    secret_factory.said += [ran.stdout, ran.stderr]
    return ran.stdout


def test_app_answers_to_dps_paths(stack: Stack):
    """Every verb of DPS has its route at DPS's own path, and there is no other route."""
    found = {f.name: (*f.methods, f.route) for f in stack.host.functions}

    assert found == ROUTES


def test_every_route_needs_a_key_but_health_live(stack: Stack):
    """Only the question whether the worker lives is free of a function key."""
    levels = {function.name: function.auth_level for function in stack.host.functions}

    assert {name for name, level in levels.items() if level != "FUNCTION"} == {"health_live"}


@pytest.mark.parametrize("level", ["FUNCTION", "ADMIN", "ANONYMOUS"])
def test_setting_closes_the_public_routes(level):
    """PUBLIC_ROUTES_AUTH_LEVEL is what the public routes are declared with."""
    code = (
        "import json, function_app\n"
        "for function in function_app.app.get_functions():\n"
        "    if function.get_function_name() == 'health_live':\n"
        "        print(json.loads(str(function))['bindings'][0]['authLevel'])\n"
    )

    assert run_python(code, PUBLIC_ROUTES_AUTH_LEVEL=level.lower()).strip() == level


def test_import_of_the_app_loads_nothing_costly():
    """A cold start loads no HTTP client, no identity, no Service Bus, no cryptography."""
    loaded = run_python("import sys, function_app, json; print(json.dumps(list(sys.modules)))")

    assert COSTLY & set(json.loads(loaded)) == set()


@pytest.mark.parametrize(
    ("package", "foreign"), [("shared", "azure.functions"), ("functions", "httpx")]
)
def test_packages_keep_to_their_own(package, foreign):
    """What knows DPS knows no trigger, and what knows triggers knows no HTTP client."""
    importing = [
        file.name
        for file in ROOT.glob(f"{package}/**/*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if any(name == foreign or name.startswith(f"{foreign}.") for name in imported(node))
    ]

    assert importing == []


def imported(node: ast.AST) -> list[str]:
    """The modules that a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []
