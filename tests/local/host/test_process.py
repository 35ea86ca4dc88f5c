"""`python -m local.host` as a process."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import httpx
import pytest

from tests.local.host.toy_apps import WriteApp
from tests.processes import Process, run_modules
from tests.secret_factory import function_key

KEY = function_key()
APP = """
import os

@app.route(route="setting/{name}", methods=["GET", "PUT"])
async def read_setting(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(os.environ.get(req.route_params["name"], "none"))

@app.service_bus_queue_trigger(arg_name="message", queue_name="q", connection="ServiceBus")
async def consume(message: func.ServiceBusMessage) -> None:
    pass
"""


Run = Callable[..., Awaitable[Process]]


@pytest.fixture
async def run() -> AsyncIterator[Run]:
    """Starts `python -m local.host` with arguments and variables."""
    async with run_modules() as start:
        yield partial(start, "local.host")


async def banner(process: Process) -> list[str]:
    """Reads the lines that the process prints, up to `ready`."""
    output: bytes = await process.stdout.readuntil(b"ready\n")
    return output.decode().splitlines()


def url_in(lines: list[str]) -> str:
    return lines[0].removeprefix("functions on ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_runs_until_a_signal(run: Run, write_app: WriteApp, number: signal.Signals) -> None:
    """The process lists its functions, serves, and exits with 0 at SIGTERM or SIGINT."""
    process = await run("--app", write_app(APP), "--port", 0)
    lines = await banner(process)
    async with httpx.AsyncClient() as client:
        reply = await client.get(f"{url_in(lines)}/api/setting/nothing")
        process.send_signal(number)

        out, err = await asyncio.wait_for(process.communicate(), 10)

    assert reply.text == "none"
    assert lines[2:] == [
        f"  read_setting  GET,PUT            {url_in(lines)}/api/setting/{{name}}",
        (
            "  consume       serviceBusTrigger  not started: "
            "neither ServiceBus nor ServiceBus__fullyQualifiedNamespace is set"
        ),
        "ready",
    ]
    assert (process.returncode, out) == (0, b"")
    assert b"Traceback" not in err


async def test_blocked_thread_does_not_delay_the_exit(run: Run, write_app: WriteApp) -> None:
    """A blocking function that never returns does not keep the process from exiting."""
    app_dir = write_app(
        """
        @app.route(route="it")
        def it(req: func.HttpRequest) -> func.HttpResponse:
            print("blocked", flush=True)
            threading.Event().wait()
        """
    )
    process = await run("--app", app_dir, "--port", 0)
    url = url_in(await banner(process))
    async with httpx.AsyncClient() as client:
        call = asyncio.create_task(client.get(f"{url}/api/it"))
        await process.stdout.readuntil(b"blocked\n")

        process.terminate()
        code = await asyncio.wait_for(process.wait(), 10)

        with pytest.raises(httpx.TransportError):
            await call
    assert code == 0


async def test_local_settings_are_app_settings(run: Run, write_app: WriteApp) -> None:
    """Values of local.settings.json are app settings; the environment takes precedence."""
    app_dir = write_app(APP)
    (app_dir / "local.settings.json").write_text(
        '{"Values": {"TOY_GIVEN": "file", "TOY_NEW": "file", "TOY_EMPTY": ""}}'
    )
    process = await run("--app", app_dir, "--port", 0, TOY_GIVEN="environment")
    url = url_in(await banner(process))

    async with httpx.AsyncClient(base_url=url) as client:
        names = ("TOY_GIVEN", "TOY_NEW", "TOY_EMPTY")
        values = [(await client.get(f"/api/setting/{name}")).text for name in names]

    assert values == ["environment", "file", "none"]


async def test_environment_sets_port_and_key(run: Run, write_app: WriteApp) -> None:
    """FUNCTIONS_PORT and LOCAL_FUNCTION_KEY take effect, and the key is not printed."""
    app_dir = write_app(APP.replace('"PUT"]', '"PUT"], auth_level="FUNCTION"'))
    process = await run("--app", app_dir, FUNCTIONS_PORT="0", LOCAL_FUNCTION_KEY=KEY)
    lines = await banner(process)

    async with httpx.AsyncClient(base_url=url_in(lines)) as client:
        rejected = await client.get(f"/api/setting/nothing?code={KEY[:-1]}-")
        reply = await client.get(f"/api/setting/nothing?code={KEY}")
    process.terminate()
    _, err = await process.communicate()

    assert (rejected.status_code, reply.status_code) == (401, 200)
    assert KEY[:-1] not in "".join(lines) + err.decode()


async def test_port_in_use_is_reported(run: Run, write_app: WriteApp) -> None:
    """If the port is in use, the process exits with 1 and one line that names the port."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        process = await run("--app", write_app(APP), "--port", port)

        out, err = await asyncio.wait_for(process.communicate(), 20)

    assert (process.returncode, out) == (1, b"")
    assert err.decode() == (
        f"functions (http): port {port} on 127.0.0.1 is in use; set FUNCTIONS_PORT to another port\n"
    )


async def test_broken_app_is_reported(run: Run, write_app: WriteApp) -> None:
    """If the app cannot be imported, the process exits with 1 and the reason, no traceback."""
    process = await run("--app", write_app("import nowhere_at_all"), "--port", 0)

    out, err = await asyncio.wait_for(process.communicate(), 20)

    assert (process.returncode, out) == (1, b"")
    assert b"ModuleNotFoundError: No module named 'nowhere_at_all'" in err
    assert b"Traceback" not in err


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param("{", b"is not valid JSON", id="not-json"),
        pytest.param("[]", b"member Values is an object", id="no-values"),
        pytest.param('{"IsEncrypted": true, "Values": {}}', b"is encrypted", id="encrypted"),
    ],
)
async def test_invalid_local_settings_are_reported(
    run: Run, write_app: WriteApp, settings: str, expected: bytes
) -> None:
    """If local.settings.json is invalid, the process exits with 1 and the reason."""
    app_dir = write_app(APP)
    (app_dir / "local.settings.json").write_text(settings)
    process = await run("--app", app_dir, "--port", 0)

    _, err = await asyncio.wait_for(process.communicate(), 20)

    assert (process.returncode, expected in err) == (1, True)
