"""The local stack: in this process, and as `python -m local`."""

import asyncio
import contextlib
import itertools
import os
import shlex
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from local.dps import Options
from local.ports import PortInUseError
from local.stack import DPS_SETTINGS, QUEUES, SERVICE_BUS_SETTINGS, Stack
from tests.processes import Process, run_modules
from tests.secret_factory import function_key

KEY = function_key()

FREE = dict.fromkeys(
    ("DPS_PORT", "DPS_TLS_PORT", "FUNCTIONS_PORT", "FUNCTIONS_TLS_PORT", "SERVICEBUS_PORT"), "0"
)
ENROLLMENT = {"registrationId": "device-1", "attestation": {"type": "symmetricKey"}}

variables = os.environ  # noqa: TID251 - the tests check what the stack sets in it


@pytest.fixture(autouse=True)
def no_other_services(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unsets every setting that names a DPS, a Service Bus namespace or a function key."""
    for name in (*DPS_SETTINGS, *SERVICE_BUS_SETTINGS, "LOCAL_FUNCTION_KEY"):
        monkeypatch.delenv(name, raising=False)


@contextlib.asynccontextmanager
async def running_stack(*, key: str | None = None) -> AsyncIterator[Stack]:
    """Runs a stack on free ports."""
    stack = Stack(Options(port=0, tls_port=0), functions_port=0, key=key)
    await stack.start()
    try:
        yield stack
    finally:
        await stack.stop()


async def test_app_writes_to_the_stand_in() -> None:
    """The app sends an enrollment to the stand-in."""
    async with running_stack() as stack, httpx.AsyncClient(base_url=stack.host.url) as client:
        reply = await client.put("/enrollments/device-1", json=ENROLLMENT)

        assert (reply.status_code, reply.json()["registrationId"]) == (200, "device-1")
        assert [request.method for request in stack.dps.requests] == ["PUT"]


async def test_added_api_versions_reach_the_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version in DPS_API_VERSIONS is accepted by the app and by the stand-in."""
    monkeypatch.setenv("DPS_API_VERSIONS", "2025-07-01-preview, 2030-01-01")
    versions = ("2030-01-01", "2025-07-01-preview", "2021-10-01", "2031-01-01")
    async with running_stack() as stack, httpx.AsyncClient(base_url=stack.host.url) as client:
        replies = [
            await client.get("/enrollments/nobody", params={"api-version": version})
            for version in versions
        ]

        assert [reply.status_code for reply in replies] == [404, 404, 404, 400]
        assert [reply.json()["errorCode"] for reply in replies[:3]] == [404201] * 3


async def test_second_stack_is_independent() -> None:
    """The app of a second stack calls the second stand-in."""
    for _ in range(2):
        async with running_stack() as stack, httpx.AsyncClient(base_url=stack.host.url) as client:
            replies = [await client.put("/enrollments/device-1", json=ENROLLMENT)]
            replies += [await client.get("/enrollments/device-1")]

            assert [reply.status_code for reply in replies] == [200, 200]
            assert len(stack.dps.requests) == 2


async def test_functions_need_the_key() -> None:
    """With a key, functions need it, except for health/live."""
    async with (
        running_stack(key=KEY) as stack,
        httpx.AsyncClient(base_url=stack.host.url) as client,
    ):
        replies = [await client.get(path) for path in ("/enrollments/x", "/health/live")]

    assert [reply.status_code for reply in replies] == [401, 200]


async def test_environment_is_restored() -> None:
    """The settings that name the stand-ins are set only while the stack runs."""
    async with running_stack() as stack:
        while_running = (variables["DPS_CONNECTION_STRING"], variables["ServiceBus"])
        assert while_running == (stack.dps.connection_string, stack.broker.connection_string)

    assert not {"DPS_CONNECTION_STRING", "ServiceBus"} & set(variables)


async def test_broker_has_the_apps_queues() -> None:
    """The broker has the app's four queues, and no others."""
    async with running_stack() as stack:
        assert stack.broker.queues == list(QUEUES)


@pytest.mark.parametrize("name", SERVICE_BUS_SETTINGS)
async def test_service_bus_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """If the environment names a Service Bus namespace, the app uses that one."""
    monkeypatch.setenv(name, "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=n;SharedAccessKey=k")

    async with running_stack() as stack:
        assert stack.other_service_bus == name
        assert variables.get("ServiceBus") != stack.broker.connection_string


async def test_dps_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the environment names a DPS, the app uses that one."""
    monkeypatch.setenv("DPS_ENDPOINT", "https://127.0.0.1:1")

    async with running_stack() as stack:
        assert stack.other_dps == "DPS_ENDPOINT"
        assert "DPS_CONNECTION_STRING" not in variables


async def test_failed_start_stops_everything(tmp_path: Path) -> None:
    """If the app cannot be started, the stand-in is stopped and the environment restored."""
    stack = Stack(Options(port=0, tls_port=None), functions_port=0, app_dir=tmp_path)

    with pytest.raises(Exception, match=r"host\.json"):
        await stack.start()

    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", stack.dps.port)
    assert "DPS_CONNECTION_STRING" not in variables


async def test_every_port_in_use_is_reported() -> None:
    """The error has a line for each port in use, with its service and its variable."""
    with contextlib.ExitStack() as servers:
        addresses = ("127.0.0.1", 0)
        in_use = [servers.enter_context(socket.create_server(addresses)) for _ in range(5)]
        http, https, broker, functions, functions_tls = (
            server.getsockname()[1] for server in in_use
        )
        options = Options(port=http, tls_port=https)
        stack = Stack(
            options,
            functions_port=functions,
            functions_tls_port=functions_tls,
            servicebus_port=broker,
        )

        with pytest.raises(PortInUseError) as error:
            await stack.start()

    assert str(error.value).splitlines() == [
        f"{service}: port {port} on 127.0.0.1 is in use; set {variable} to another port"
        for service, port, variable in [
            ("DPS stand-in (http)", http, "DPS_PORT"),
            ("DPS stand-in (https)", https, "DPS_TLS_PORT"),
            ("Service Bus broker", broker, "SERVICEBUS_PORT"),
            ("functions (http)", functions, "FUNCTIONS_PORT"),
            ("functions (https)", functions_tls, "FUNCTIONS_TLS_PORT"),
        ]
    ]


Run = Callable[..., Awaitable[Process]]


@pytest.fixture
async def run() -> AsyncIterator[Run]:
    """Starts `python -m local` with environment variables, on free ports."""
    async with run_modules() as start:
        yield lambda **given: start("local", **(FREE | given))


async def banner(process: Process) -> str:
    """Reads what the process prints, up to the line `ready`."""
    output: bytes = await process.stdout.readuntil(b"\nready\n")
    return output.decode()


async def run_curl(text: str, **variables: str) -> httpx.Response:
    """Sends the request of the curl command in the banner; `variables` are those it refers to."""
    line = next(line for line in text.splitlines() if line.startswith("Try: curl "))
    arguments = shlex.split(line)[2:]
    for name, value in variables.items():
        arguments = [argument.replace(f"${name}", value) for argument in arguments]
    names = itertools.pairwise(arguments)
    headers = dict(value.split(": ") for name, value in names if name == "-H")
    assert arguments[0] == "-X"
    async with httpx.AsyncClient() as client:
        return await client.request(
            arguments[1], arguments[2], headers=headers, content=arguments[-1]
        )


async def test_process_runs_until_ctrl_c(run: Run) -> None:
    """The curl command of the banner works, and SIGINT ends the process with 0."""
    process = await run()
    reply = await run_curl(await banner(process))

    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(), 10)

    assert (reply.status_code, reply.json()["registrationId"]) == (200, "device-1")
    assert (process.returncode, out) == (0, b"")
    assert b"Traceback" not in err


async def test_banner_lists_services_and_functions(run: Run) -> None:
    """The banner lists the services, the functions and how to stop."""
    text = await banner(await run())

    assert "DPS stand-in on http://127.0.0.1:" in text
    assert "functions on http://127.0.0.1:" in text
    assert f"Service Bus broker with the queues {', '.join(QUEUES)}\n  Endpoint=sb://" in text
    assert "The functions use the DPS stand-in and the Service Bus broker." in text
    assert "/enrollments/{id}" in text
    assert "Stop: Ctrl-C" in text


async def test_key_is_needed_but_not_printed(run: Run) -> None:
    """With LOCAL_FUNCTION_KEY the curl command refers to the variable, not to its value."""
    process = await run(LOCAL_FUNCTION_KEY=KEY)
    text = await banner(process)

    rejected = await run_curl(text)
    reply = await run_curl(text, LOCAL_FUNCTION_KEY=KEY)
    process.terminate()
    _, err = await process.communicate()

    assert (rejected.status_code, reply.status_code) == (401, 200)
    assert KEY not in text + err.decode()


async def test_other_dps_is_named_in_the_banner(run: Run) -> None:
    """The banner names the setting of another DPS, but not its key."""
    key = "c2VjcmV0LW9mLWFub3RoZXI="
    given = f"HostName=127.0.0.1:1;SharedAccessKeyName=other;SharedAccessKey={key}"
    process = await run(DPS_CONNECTION_STRING=given)
    text = await banner(process)
    process.terminate()
    _, err = await process.communicate()

    assert "use the DPS in DPS_CONNECTION_STRING and the Service Bus broker." in text
    assert key not in text + err.decode()


@pytest.mark.parametrize(
    "variable",
    [
        "FUNCTIONS_PORT",
        *(
            pytest.param(name, marks=pytest.mark.long)
            for name in sorted(FREE.keys() - {"FUNCTIONS_PORT"})
        ),
    ],
)
async def test_port_in_use_ends_the_process(run: Run, variable: str) -> None:
    """If the port in the variable is in use, the process exits with 1 and says so."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        process = await run(**{variable: port})

        out, err = await asyncio.wait_for(process.communicate(), 20)

    assert (process.returncode, out) == (1, b"")
    assert f"port {port} on 127.0.0.1 is in use; set {variable}" in err.decode()


async def test_invalid_port_ends_the_process(run: Run) -> None:
    """An invalid port number ends the process with 1 and one line that names the variable."""
    process = await run(FUNCTIONS_PORT="many")

    _, err = await asyncio.wait_for(process.communicate(), 20)

    assert (process.returncode, err.decode().count("\n")) == (1, 1)
    assert "FUNCTIONS_PORT" in err.decode()
