"""`python -m local.servicebus` as a process."""

import asyncio
import signal
import socket
import sys
from functools import partial

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient

from tests.local.servicebus.conftest import CLIENT
from tests.local.servicebus.handlers import leaves_sockets
from tests.processes import modules_run


@pytest.fixture
async def run():
    """Starts `python -m local.servicebus` with arguments."""
    async with modules_run() as start:
        yield partial(start, "local.servicebus")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@leaves_sockets
async def test_runs_until_signalled(run, number):
    """It says how to connect and what there is, serves, and ends with 0."""
    process = await run("--port", 0, "--queue", "orders:max=3", "--no-auto-create")
    banner = (await asyncio.wait_for(process.stdout.readuntil(b"ready\n"), 20)).decode()
    string = banner.splitlines()[1].strip()
    async with ServiceBusClient.from_connection_string(string, **CLIENT) as client:
        await client.get_queue_sender("orders").send_messages(ServiceBusMessage("x"))

        process.send_signal(number)
        out, err = await asyncio.wait_for(process.communicate(), 10)

    assert string.startswith("Endpoint=sb://127.0.0.1:")
    assert "queues: orders, no others\n" in banner
    assert (process.returncode, out) == (0, b"")
    assert b"Traceback" not in err


async def test_broker_needs_the_standard_library_alone():
    """Whoever wants a queue in a test of theirs waits for no other package."""
    code = (
        "import sys, local.servicebus.__main__; "
        "print({'aiohttp', 'azure', 'httpx', 'pydantic'} & sys.modules.keys())"
    )

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 30)

    assert out == b"set()\n"


async def test_busy_port_is_named(run):
    """With the variable that names another."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = await run("--port", port)

        _, err = await asyncio.wait_for(process.communicate(), 20)

    assert process.returncode == 1
    assert f"port {port} on 127.0.0.1 is in use; set SERVICEBUS_PORT" in err.decode()


async def test_config_is_read(run, tmp_path):
    """Queues of both, the file's and the command line's."""
    path = tmp_path / "Config.json"
    path.write_text('{"UserConfig": {"Namespaces": [{"Queues": [{"Name": "a"}]}]}}')
    process = await run("--port", 0, "--config", path, "--queue", "b")

    banner = (await asyncio.wait_for(process.stdout.readuntil(b"ready\n"), 20)).decode()

    assert "queues: a, b, " in banner


async def test_config_that_is_not_there_is_named(run, tmp_path):
    """It does not start without."""
    process = await run("--port", 0, "--config", tmp_path / "nowhere.json")

    _, err = await asyncio.wait_for(process.communicate(), 20)

    assert process.returncode == 1
    assert b"nowhere.json" in err
