"""A proxy in front of the app, which can answer in its place."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from aiohttp import web
from aiohttp.test_utils import TestServer

Forward = Callable[[], Awaitable[web.Response]]
Rule = Callable[[dict[str, Any], Forward], Awaitable[web.StreamResponse]]
"""Answers a bulk operation; `forward` returns the app's response."""


@dataclass
class Proxy:
    """A proxy that is open; `sent` has the ids of each bulk operation."""

    url: str = ""
    sent: list[list[str]] = field(default_factory=list)


@asynccontextmanager
async def open_proxy(app_url: str, rule: Rule) -> AsyncIterator[Proxy]:
    """Forwards all requests to the app but bulk operations, which the rule answers."""
    proxy = Proxy()
    async with httpx.AsyncClient(base_url=app_url, timeout=60) as client:

        async def handle(request: web.Request) -> web.StreamResponse:
            body = await request.read()

            async def forward() -> web.Response:
                kind = {"content-type": "application/json"}
                response = await client.request(
                    request.method, request.path_qs, content=body, headers=kind
                )
                return web.Response(
                    status=response.status_code, body=response.content, headers=kind
                )

            if (request.method, request.path) != ("POST", "/enrollments"):
                return await forward()
            operation = json.loads(body)
            proxy.sent.append([record["registrationId"] for record in operation["enrollments"]])
            return await rule(operation, forward)

        application = web.Application(client_max_size=1 << 24)
        application.router.add_route("*", "/{path:.*}", handle)
        async with TestServer(application) as server:
            proxy.url = str(server.make_url("")).rstrip("/")
            yield proxy
