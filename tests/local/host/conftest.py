"""Toy apps, each in a directory of its own, and hosts that serve them on free ports."""

import asyncio
import contextlib
import itertools
import textwrap
from pathlib import Path

import httpx
import pytest

from local.host import Host

PREAMBLE = """
import asyncio, contextvars, json, threading
import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
"""

ECHO = """
@app.route(route="echo/{id?}")
async def echo(req: func.HttpRequest) -> func.HttpResponse:
    seen = {
        "method": req.method,
        "url": req.url,
        "headers": dict(req.headers),
        "params": dict(req.params),
        "route": dict(req.route_params),
        "body": req.get_body().decode("latin-1"),
    }
    return func.HttpResponse(json.dumps(seen), mimetype="application/json")
"""


class Served:
    """A running host with a client for it."""

    def __init__(self, app_dir: Path, host: Host, client: httpx.AsyncClient) -> None:
        self.app_dir = app_dir
        self.host = host
        self.client = client

    async def raw(self, request: bytes, *, until: bytes | None = None) -> bytes:
        """What the host sends for these bytes, to the end of the connection or `until` this."""
        address, port = self.host.url.removeprefix("http://").rsplit(":", 1)
        reader, writer = await asyncio.open_connection(address, int(port))
        writer.write(request)
        reply = await (reader.readuntil(until) if until else reader.read())
        writer.close()
        await writer.wait_closed()
        return reply


@pytest.fixture
def write_app(tmp_path):
    """Writes a function_app.py and returns its directory; host_json None: none."""
    numbers = itertools.count()

    def write(source, *, preamble=PREAMBLE, host_json='{"version": "2.0"}') -> Path:
        directory = tmp_path / f"app-{next(numbers)}"
        directory.mkdir()
        (directory / "function_app.py").write_text(preamble + textwrap.dedent(source))
        if host_json is not None:
            (directory / "host.json").write_text(host_json)
        return directory

    return write


@pytest.fixture
async def serve(write_app):
    """Serves the toy app of a given source until the test ends."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(source, *, host_json='{"version": "2.0"}', preamble=PREAMBLE, **options):
            app_dir = write_app(source, preamble=preamble, host_json=host_json)
            host = Host(app_dir, port=0, **options)
            stack.push_async_callback(host.stop)
            await host.start()
            client = await stack.enter_async_context(httpx.AsyncClient(base_url=host.url))
            return Served(app_dir, host, client)

        yield start


@pytest.fixture
async def echo(serve):
    """A host whose one function answers with what it was given."""
    return await serve(ECHO)
