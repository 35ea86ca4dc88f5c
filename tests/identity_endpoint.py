"""App Service's token endpoint of a managed identity, which records what it is asked for."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

RESOURCE_ID = (
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity"
    "/userAssignedIdentities/app"
)
SCOPE = "https://servicebus.azure.net/.default"


@asynccontextmanager
async def identity_endpoint(patch: pytest.MonkeyPatch) -> AsyncIterator[list[dict[str, str]]]:
    """Sets the environment of an app with identities; yields the queries of its token requests."""
    queries: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        queries.append(dict(request.query))
        expiry = str(int(time.time()) + 3600)
        return web.json_response({"access_token": "t", "expires_on": expiry, "resource": SCOPE})

    app = web.Application()
    app.router.add_get("/token", answer)
    async with TestServer(app) as server:
        patch.setenv("IDENTITY_ENDPOINT", str(server.make_url("/token")))
        patch.setenv("IDENTITY_HEADER", "local-identity")
        # The identity of the app for DPS, for example.
        patch.setenv("AZURE_CLIENT_ID", "another")
        yield queries
