"""The command line `python -m local.servicebus`."""

import argparse
import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient

from local.servicebus import QueueOptions
from local.servicebus.__main__ import key_argument, queue_argument
from tests.local.servicebus.handlers import CLIENT, leaves_sockets
from tests.processes import Process, run_modules

Run = Callable[..., Awaitable[Process]]


@pytest.fixture
async def run() -> AsyncIterator[Run]:
    """Starts `python -m local.servicebus` with arguments."""
    async with run_modules() as start:
        yield partial(start, "local.servicebus")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@leaves_sockets
async def test_runs_until_signalled(run: Run, number: signal.Signals) -> None:
    """It prints its connection string and queues, serves, and exits with 0 on a signal."""
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


async def test_broker_needs_only_the_standard_library() -> None:
    """The broker imports no third-party package."""
    code = (
        "import sys, local.servicebus.__main__; "
        "print({'aiohttp', 'azure', 'httpx', 'pydantic'} & sys.modules.keys())"
    )

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 30)

    assert out == b"set()\n"


async def test_port_in_use_is_an_error(run: Run) -> None:
    """The error names the port, and the variable that sets another."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        process = await run("--port", port)

        _, err = await asyncio.wait_for(process.communicate(), 20)

    assert process.returncode == 1
    assert f"port {port} on 127.0.0.1 is in use; set SERVICEBUS_PORT" in err.decode()


async def test_config_is_read(run: Run, tmp_path: Path) -> None:
    """The queues of the file and of the command line are created."""
    path = tmp_path / "Config.json"
    path.write_text('{"UserConfig": {"Namespaces": [{"Queues": [{"Name": "a"}]}]}}')
    process = await run("--port", 0, "--config", path, "--queue", "b")

    banner = (await asyncio.wait_for(process.stdout.readuntil(b"ready\n"), 20)).decode()

    assert "queues: a, b, " in banner


async def test_missing_config_is_an_error(run: Run, tmp_path: Path) -> None:
    """The broker exits with 1 and names the file."""
    process = await run("--port", 0, "--config", tmp_path / "nowhere.json")

    _, err = await asyncio.wait_for(process.communicate(), 20)

    assert process.returncode == 1
    assert b"nowhere.json" in err


def test_queue_argument_sets_options() -> None:
    """A queue argument can set every option."""
    name, options = queue_argument("q:lock=5,max=3,ttl=300,dedup=60,sessions,dlq-expired")

    assert name == "q"
    assert options == QueueOptions(
        lock_duration=5,
        max_delivery_count=3,
        time_to_live=300,
        duplicate_detection=60,
        requires_session=True,
        dead_letter_on_expiration=True,
    )


@pytest.mark.parametrize("text", ["", "q:lock", "q:lock=x", "q:lock=0", "q:sessions=1", "q:what=1"])
def test_invalid_queue_argument_is_quoted(text: str) -> None:
    """The error of an invalid queue argument quotes the argument."""
    with pytest.raises(argparse.ArgumentTypeError, match=repr(text)):
        queue_argument(text)


def test_invalid_key_argument_is_not_quoted() -> None:
    """The error of an invalid key argument does not repeat it: it may be a key."""
    with pytest.raises(argparse.ArgumentTypeError) as raised:
        key_argument("=secret")

    assert "secret" not in str(raised.value)
