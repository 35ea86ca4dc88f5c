"""The path of a request: how many frames of ours lie between the trigger and httpx."""

import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import azure.functions as func
import httpx
import pytest
from httpx_aiohttp import AiohttpTransport

from functions import _services
from local.host.loading import load_functions
from local.stack import ROOT
from tests.secret_factory import connection_string

BODIES = {
    "create_or_update": b'{"registrationId": "a", "attestation": {"type": "symmetricKey"}}',
    "query": b'{"query": "SELECT *"}',
    "run_bulk_operation": b'{"mode": "delete", "enrollments": [{"registrationId": "a"}]}',
}
VERBS = ["get", "create_or_update", "delete", "get_attestation_mechanism", *list(BODIES)[1:]]
OURS = [ROOT / "functions", ROOT / "shared"]


@pytest.fixture
async def frames(monkeypatch) -> AsyncIterator[list[str]]:
    """The files of ours on the stack at the moment that httpx is asked to send."""
    found: list[str] = []

    async def note(*_: object, **__: object) -> None:
        files = [Path(frame.filename) for frame in traceback.extract_stack()]
        found.extend(file.name for file in files if any(map(file.is_relative_to, OURS)))
        raise httpx.ConnectError("noted")

    monkeypatch.setattr(AiohttpTransport, "handle_async_request", note)
    monkeypatch.setenv("DPS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("DPS_ENDPOINT", "")
    monkeypatch.setenv("DPS_CONNECTION_STRING", connection_string("127.0.0.1:9"))
    yield found
    await _services.aclose()


@pytest.mark.parametrize("verb", VERBS)
async def test_request_goes_through_five_frames(frames: list[str], verb: str):
    """Nothing may be added between a trigger and the call to DPS without being argued for."""
    triggers = {function.name: function.call for function in load_functions(ROOT)}
    request = func.HttpRequest(
        method="POST", url="/", body=BODIES.get(verb, b""), route_params={"id": "a"}
    )

    await triggers[f"enrollments_{verb}"](request)

    assert len(frames) == 5, frames
