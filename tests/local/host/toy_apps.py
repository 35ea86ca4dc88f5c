"""Toy apps: their source text, and the types of the fixtures that write and run them."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from local.host import Host

PREAMBLE = """
import asyncio, contextvars, json, threading
import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
"""
HOST_JSON = '{"version": "2.0"}'

QUEUE_APP = """
seen, gate = [], asyncio.Event()

@app.service_bus_queue_trigger(
    arg_name="message", queue_name="QUEUE", connection="ServiceBus",
    data_type=func.DataType.BINARY, auto_complete_messages=AUTO_COMPLETE,
)
DEF consume(message: func.ServiceBusMessage) -> None:
    seen.append((message.get_body(), message.delivery_count))
    BODY
"""
FAIL = 'raise ValueError("not today")'
WAIT = "await gate.wait()"


def queue_app(
    body: str = "pass",
    *,
    queue: str = "work",
    auto_complete: bool | None = None,
    sync: bool = False,
) -> str:
    """Returns an app with one function, which runs `body` for each message."""
    values = {"QUEUE": queue, "AUTO_COMPLETE": str(auto_complete), "BODY": body}
    values["DEF"] = "def" if sync else "async def"
    source = QUEUE_APP
    for name, value in values.items():
        source = source.replace(name, value)
    return source


def host_json(**options: object) -> str:
    """Returns a host.json whose `extensions.serviceBus` holds `options`, as JSON texts."""
    members = ", ".join(f'"{name}": {value}' for name, value in options.items())
    return f'{{"version": "2.0", "extensions": {{"serviceBus": {{{members}}}}}}}'


def write_files(directory: Path, source: str, *, host_json: str | None = HOST_JSON) -> None:
    """Writes function_app.py, and host.json unless it is None."""
    (directory / "function_app.py").write_text(source)
    if host_json is not None:
        (directory / "host.json").write_text(host_json)


def loaded_module(directory: Path) -> Any:
    """Returns the module that was loaded from the app's directory."""
    path = str(directory / "function_app.py")
    return next(m for m in list(sys.modules.values()) if getattr(m, "__file__", "") == path)


class RunningApp:
    """A toy app on a running host, with an HTTP client for it."""

    def __init__(self, app_dir: Path, host: Host, client: httpx.AsyncClient) -> None:
        self.app_dir = app_dir
        self.host = host
        self.client = client

    @property
    def module(self) -> Any:
        """The app's module, with the values that its functions stored."""
        return loaded_module(self.app_dir)

    async def send_raw(self, request: bytes, *, until: bytes | None = None) -> bytes:
        """Sends raw bytes; returns the reply, up to `until` or the end of the connection."""
        address, port = self.host.url.removeprefix("http://").rsplit(":", 1)
        reader, writer = await asyncio.open_connection(address, int(port))
        writer.write(request)
        reply = await (reader.readuntil(until) if until else reader.read())
        writer.close()
        await writer.wait_closed()
        return reply


WriteApp = Callable[..., Path]
"""Writes an app (`source`, `preamble`, `host_json`; None: left out); returns its directory."""
Serve = Callable[..., Awaitable[RunningApp]]
"""Writes an app as WriteApp does, and runs it until the test ends, with options of Host."""
Send = Callable[..., None]
"""Sends a message (`queue`, `body`, properties of ServiceBusMessage) to the broker."""
Until = Callable[..., Awaitable[None]]
"""Waits until `condition()` is true; raises TimeoutError after `within` seconds."""
