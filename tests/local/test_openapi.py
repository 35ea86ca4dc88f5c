"""The OpenAPI document: up to date, valid, and with the routes that the app registers."""

import json
import re
from pathlib import Path

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from local.openapi.__main__ import document
from local.stack import ROOT, Stack
from tests.functions.samples import DPS_ROUTES

DOCUMENT = json.loads(Path(ROOT, "functions", "openapi.json").read_bytes())
OPERATIONS = {
    (method.upper(), path.strip("/")): operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}


def test_document_is_up_to_date() -> None:
    """Otherwise: python -m local.openapi > functions/openapi.json."""
    assert document() == DOCUMENT


def test_app_serves_the_document(stack: Stack) -> None:
    """`GET openapi.json`, without a function key by default."""
    response = httpx.get(f"{stack.host.url}/openapi.json")

    assert response.headers["content-type"] == "application/json"
    assert response.json() == DOCUMENT


def test_document_is_valid() -> None:
    """By the JSON Schema of OpenAPI 3.1."""
    assert [str(error) for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_document_has_every_route(stack: Stack) -> None:
    """Paths and methods are those of the registered functions."""
    registered = {
        (method, function.route)
        for function in stack.host.functions
        if function.name != "unknown_route"
        for method in function.methods
    }

    assert set(OPERATIONS) == registered


def test_only_operations_of_dps_take_signatures() -> None:
    """In SAS mode; all others need a function key."""
    signed = {
        route
        for route, operation in OPERATIONS.items()
        if {"sharedAccessSignature": []} in operation["security"]
    }

    assert signed == DPS_ROUTES


@pytest.mark.parametrize(("method", "path"), sorted(OPERATIONS))
def test_operation_declares_the_parameters_of_its_path(method: str, path: str) -> None:
    """Tools create a method argument for each."""
    names = set()
    for parameter in OPERATIONS[method, path].get("parameters", []):
        name = parameter.get("$ref", "").rpartition("/")[2]
        resolved = DOCUMENT["components"]["parameters"][name] if name else parameter
        names |= {resolved["name"]} if resolved["in"] == "path" else set()

    assert names == set(re.findall(r"{(\w+)}", path))
