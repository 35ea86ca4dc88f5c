"""The whole stack: in this process, and as `python -m local`."""

import asyncio
import contextlib
import os
import shlex
import signal
import socket

import httpx
import pytest

from local.dps import Options
from local.listening import PortBusyError
from local.stack import DPS_SETTINGS, QUEUES, SERVICE_BUS_SETTINGS, Stack
from tests.processes import modules_run
from tests.secret_factory import function_key

KEY = function_key()

FREE = {"DPS_PORT": "0", "DPS_TLS_PORT": "0", "FUNCTIONS_PORT": "0", "SERVICEBUS_PORT": "0"}
ENROLLMENT = {"registrationId": "device-1", "attestation": {"type": "symmetricKey"}}

variables = os.environ  # noqa: TID251 - what the stack does to it is tested here


@pytest.fixture(autouse=True)
def no_other_services(monkeypatch):
    """The environment of whoever runs the tests names no DPS, no Service Bus and no key."""
    for name in (*DPS_SETTINGS, *SERVICE_BUS_SETTINGS, "LOCAL_FUNCTION_KEY"):
        monkeypatch.delenv(name, raising=False)


@contextlib.asynccontextmanager
async def running(**options):
    """A stack on free ports."""
    stack = Stack(Options(port=0, tls_port=0), functions_port=0, **options)
    await stack.start()
    try:
        yield stack
    finally:
        await stack.stop()


async def test_app_writes_to_the_stand_in():
    """An enrollment put through the functions is one that the stand-in received."""
    async with running() as stack, httpx.AsyncClient(base_url=stack.host.url) as client:
        reply = await client.put("/enrollments/device-1", json=ENROLLMENT)

        assert (reply.status_code, reply.json()["registrationId"]) == (200, "device-1")
        assert [request.method for request in stack.dps.requests] == ["PUT"]


async def test_two_stacks_after_each_other_do_not_mix():
    """The app of a second stack talks to the second stand-in."""
    for _ in range(2):
        async with running() as stack, httpx.AsyncClient(base_url=stack.host.url) as client:
            replies = [await client.put("/enrollments/device-1", json=ENROLLMENT)]
            replies += [await client.get("/enrollments/device-1")]

            assert [reply.status_code for reply in replies] == [200, 200]
            assert len(stack.dps.requests) == 2


async def test_key_guards_the_functions():
    """A stack with a key asks for it, though not for health/live."""
    async with running(key=KEY) as stack, httpx.AsyncClient(base_url=stack.host.url) as client:
        replies = [await client.get(path) for path in ("/enrollments/x", "/health/live")]

    assert [reply.status_code for reply in replies] == [401, 200]


async def test_environment_is_put_back():
    """The settings that name the stand-ins last as long as the stack."""
    async with running() as stack:
        while_running = (variables["DPS_CONNECTION_STRING"], variables["ServiceBus"])
        assert while_running == (stack.dps.connection_string, stack.broker.connection_string)

    assert not {"DPS_CONNECTION_STRING", "ServiceBus"} & set(variables)


async def test_broker_has_the_apps_queues():
    """The broker holds the four queues of the app, and only those."""
    async with running() as stack:
        assert stack.broker.queues == list(QUEUES)


@pytest.mark.parametrize("name", SERVICE_BUS_SETTINGS)
async def test_another_service_bus_is_left_alone(monkeypatch, name):
    """A namespace that the environment names already stays the app's, and the stack says so."""
    monkeypatch.setenv(name, "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=n;SharedAccessKey=k")

    async with running() as stack:
        assert stack.other_service_bus == name
        assert variables.get("ServiceBus") != stack.broker.connection_string


async def test_another_dps_is_left_alone(monkeypatch):
    """A DPS that the environment names already stays the app's, and the stack says which setting."""
    monkeypatch.setenv("DPS_ENDPOINT", "https://127.0.0.1:1")

    async with running() as stack:
        assert stack.other_dps == "DPS_ENDPOINT"
        assert "DPS_CONNECTION_STRING" not in variables


async def test_nothing_is_left_when_a_start_fails(monkeypatch, tmp_path):
    """An app that is refused leaves neither a listening stand-in nor a changed environment."""
    monkeypatch.setattr("local.stack.ROOT", tmp_path)
    stack = Stack(Options(port=0, tls_port=None), functions_port=0)

    with pytest.raises(Exception, match=r"host\.json"):
        await stack.start()

    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", stack.dps.port)
    assert "DPS_CONNECTION_STRING" not in variables


async def test_every_busy_port_is_named():
    """Each port in use is named with its service and the variable that changes it."""
    with (
        socket.create_server(("127.0.0.1", 0)) as first,
        socket.create_server(("127.0.0.1", 0)) as second,
    ):
        ports = [server.getsockname()[1] for server in (first, second)]
        stack = Stack(Options(port=ports[0], tls_port=0), functions_port=ports[1])

        with pytest.raises(PortBusyError) as busy:
            await stack.start()

    http, functions = str(busy.value).splitlines()
    assert http.startswith(f"DPS stand-in (http): port {ports[0]} ")
    assert http.endswith("set DPS_PORT to another one")
    assert functions.startswith(f"functions: port {ports[1]} ")
    assert functions.endswith("set FUNCTIONS_PORT to another one")


@pytest.fixture
async def run():
    """Starts `python -m local` with variables, on free ports."""
    async with modules_run() as start:
        yield lambda **given: start("local", **(FREE | given))


async def banner(process):
    """What the process prints up to and with the line `ready`."""
    return (await process.stdout.readuntil(b"\nready\n")).decode()


async def paste(text, **given):
    """Sends what the curl of the banner sends."""
    line = next(line for line in text.splitlines() if line.startswith("Try: curl "))
    words = shlex.split(line)[2:]
    for name, value in given.items():
        words = [word.replace(f"${name}", value) for word in words]
    headers = dict(words[at + 1].split(": ") for at, word in enumerate(words) if word == "-H")
    assert words[0] == "-X"
    async with httpx.AsyncClient() as client:
        return await client.request(words[1], words[2], headers=headers, content=words[-1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_process_runs_until_signalled(run, number):
    """It is ready when it says so, its curl works as pasted, and a signal ends it with 0."""
    process = await run()
    reply = await paste(await banner(process))

    process.send_signal(number)
    out, err = await asyncio.wait_for(process.communicate(), 10)

    assert (reply.status_code, reply.json()["registrationId"]) == (200, "device-1")
    assert (process.returncode, out) == (0, b"")
    assert b"Traceback" not in err


async def test_banner_says_what_listens_where(run):
    """The banner lists all services, every function and how to stop."""
    text = await banner(await run())

    assert "DPS stand-in on http://127.0.0.1:" in text
    assert "functions on http://127.0.0.1:" in text
    assert f"Service Bus broker with the queues {', '.join(QUEUES)}\n  Endpoint=sb://" in text
    assert "They talk to the DPS stand-in and the broker." in text
    assert "/enrollments/{id}" in text
    assert "Stop: Ctrl-C" in text


async def test_key_is_asked_for_but_not_printed(run):
    """With LOCAL_FUNCTION_KEY the curl sends it by the variable's name."""
    process = await run(LOCAL_FUNCTION_KEY=KEY)
    text = await banner(process)

    refused = await paste(text)
    reply = await paste(text, LOCAL_FUNCTION_KEY=KEY)
    process.terminate()
    _, err = await process.communicate()

    assert (refused.status_code, reply.status_code) == (401, 200)
    assert KEY not in text + err.decode()


async def test_other_dps_is_named_in_the_banner(run):
    """The banner says that the app talks to another DPS, without the key of it."""
    key = "c2VjcmV0LW9mLWFub3RoZXI="
    given = f"HostName=127.0.0.1:1;SharedAccessKeyName=other;SharedAccessKey={key}"
    process = await run(DPS_CONNECTION_STRING=given)
    text = await banner(process)
    process.terminate()
    _, err = await process.communicate()

    assert "They talk to the DPS that DPS_CONNECTION_STRING names and the broker." in text
    assert key not in text + err.decode()


@pytest.mark.parametrize("variable", sorted(FREE))
async def test_busy_port_ends_the_process(run, variable):
    """A port in use is named, with the variable that changes it, and the exit code is 1."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        process = await run(**{variable: port})

        out, err = await asyncio.wait_for(process.communicate(), 20)

    assert (process.returncode, out) == (1, b"")
    assert f"port {port} on 127.0.0.1 is in use; set {variable}" in err.decode()


async def test_port_that_is_none_ends_the_process(run):
    """A port that cannot be read is named, and the exit code is 1."""
    process = await run(FUNCTIONS_PORT="many")

    _, err = await asyncio.wait_for(process.communicate(), 20)

    assert (process.returncode, err.decode().count("\n")) == (1, 1)
    assert "FUNCTIONS_PORT" in err.decode()
