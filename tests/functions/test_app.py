"""The app as a whole: what it answers to, what it loads, how deep a request goes."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.host.loading import load_functions
from local.stack import Stack
from tests import secret_factory

ROOT = Path(__file__).parents[2]

INVENTORY = json.loads((Path(__file__).parent / "inventory.json").read_text())
"""Every function of the app: name, trigger, methods, route and auth level."""

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


def test_app_has_the_functions_of_the_inventory():
    """No function is lost, added or opened without the inventory saying so."""
    found = {}
    for function in load_functions(ROOT):
        trigger = function.trigger
        members = ("type", "methods", "route", "authLevel", "queueName", "connection")
        found[function.name] = {name: trigger[name] for name in members if name in trigger}

    assert found == INVENTORY


def test_every_verb_of_dps_has_its_route(stack: Stack):
    """The seven verbs of enrollments and of groups, and the three of registration states."""
    verbs = {
        "create_or_update": ("PUT", "/{id}"),
        "delete": ("DELETE", "/{id}"),
        "get": ("GET", "/{id}"),
        "patch": ("PATCH", "/{id}"),
        "get_attestation_mechanism": ("POST", "/{id}/attestationmechanism"),
        "query": ("POST", "/query"),
        "run_bulk_operation": ("POST", ""),
    }
    of_states = {
        "get": ("GET", "/{id}"),
        "delete": ("DELETE", "/{id}"),
        "query": ("POST", "/{id}/query"),
    }
    served = {
        function.name: (*function.methods, function.route) for function in stack.host.functions
    }

    for resource, path, has in (
        ("enrollments", "enrollments", verbs),
        ("enrollment_groups", "enrollmentGroups", verbs),
        ("registration_states", "registrations", of_states),
    ):
        assert {verb: served[f"{resource}_{verb}"] for verb in has} == {
            verb: (method, f"{path}{rest}") for verb, (method, rest) in has.items()
        }


def test_every_route_needs_a_key_but_health_live():
    """Only the question whether the worker lives is free of a function key."""
    levels = {name: it["authLevel"] for name, it in INVENTORY.items() if "route" in it}
    open_to_all = {name for name, level in levels.items() if level != "FUNCTION"}

    assert open_to_all == {"health_live"}


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
