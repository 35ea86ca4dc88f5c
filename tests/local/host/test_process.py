"""`python -m local.host` as a process."""

import asyncio
import signal
import socket
from functools import partial

import httpx
import pytest

from tests.processes import modules_run
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


@pytest.fixture
async def run():
    """Starts `python -m local.host` with arguments and variables."""
    async with modules_run() as start:
        yield partial(start, "local.host")


async def banner(process):
    """What the process prints before it is ready."""
    return (await process.stdout.readuntil(b"ready\n")).decode().splitlines()


def url_in(lines):
    return lines[0].removeprefix("functions on ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_runs_until_signalled(run, write_app, number):
    """It lists its functions, says ready, answers, and ends with 0 at SIGTERM or Ctrl-C."""
    process = await run("--app", write_app(APP), "--port", 0)
    lines = await banner(process)
    async with httpx.AsyncClient() as client:
        reply = await client.get(f"{url_in(lines)}/api/setting/nothing")
        process.send_signal(number)

        out, err = await asyncio.wait_for(process.communicate(), 10)

    assert reply.text == "none"
    assert lines[1:] == [
        f"  read_setting  GET,PUT            {url_in(lines)}/api/setting/{{name}}",
        (
            "  consume       serviceBusTrigger  is not fed: "
            "neither ServiceBus nor ServiceBus__fullyQualifiedNamespace is set"
        ),
        "ready",
    ]
    assert (process.returncode, out) == (0, b"")
    assert b"Traceback" not in err


async def test_blocked_thread_does_not_keep_it_from_ending(run, write_app):
    """A function that never returns from its thread does not hold up the end of the process."""
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


async def test_local_settings_are_the_apps_environment(run, write_app):
    """Values of local.settings.json are set, except those the environment has already."""
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


async def test_environment_sets_port_and_key(run, write_app):
    """FUNCTIONS_PORT and LOCAL_FUNCTION_KEY are obeyed, and the key is not printed."""
    app_dir = write_app(APP.replace('"PUT"]', '"PUT"], auth_level="FUNCTION"'))
    process = await run("--app", app_dir, FUNCTIONS_PORT="0", LOCAL_FUNCTION_KEY=KEY)
    lines = await banner(process)

    async with httpx.AsyncClient(base_url=url_in(lines)) as client:
        refused = await client.get(f"/api/setting/nothing?code={KEY[:-1]}-")
        reply = await client.get(f"/api/setting/nothing?code={KEY}")
    process.terminate()
    _, err = await process.communicate()

    assert (refused.status_code, reply.status_code) == (401, 200)
    assert KEY[:-1] not in "".join(lines) + err.decode()


async def test_busy_port_is_named(run, write_app):
    """A port in use ends it with 1 and one line that names the port and the way out."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        process = await run("--app", write_app(APP), "--port", port)

        out, err = await asyncio.wait_for(process.communicate(), 20)

    assert (process.returncode, out) == (1, b"")
    assert err.decode() == (
        f"functions: port {port} on 127.0.0.1 is in use; set FUNCTIONS_PORT to another one\n"
    )


async def test_broken_app_is_explained(run, write_app):
    """An app that cannot be imported ends it with 1 and the reason, without a traceback."""
    process = await run("--app", write_app("import nowhere_at_all"), "--port", 0)

    out, err = await asyncio.wait_for(process.communicate(), 20)

    assert (process.returncode, out) == (1, b"")
    assert b"ModuleNotFoundError: No module named 'nowhere_at_all'" in err
    assert b"Traceback" not in err


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param("{", b"is not JSON", id="not-json"),
        pytest.param("[]", b"an object named Values", id="no-values"),
        pytest.param('{"IsEncrypted": true, "Values": {}}', b"is encrypted", id="encrypted"),
    ],
)
async def test_broken_local_settings_are_explained(run, write_app, settings, expected):
    """A local.settings.json that cannot be read ends it with 1."""
    app_dir = write_app(APP)
    (app_dir / "local.settings.json").write_text(settings)
    process = await run("--app", app_dir, "--port", 0)

    _, err = await asyncio.wait_for(process.communicate(), 20)

    assert (process.returncode, expected in err) == (1, True)
