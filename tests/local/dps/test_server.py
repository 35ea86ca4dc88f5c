"""Starting and stopping the server, and its command line."""

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from local.dps import DpsStandIn, Options
from local.threads import in_thread
from tests.local.dps.calls import NO_TLS, StartDps, signed_client


@pytest.fixture
def busy_port() -> Iterator[int]:
    """A port that another socket listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@contextmanager
def command(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Runs `python -m local.dps` as a process and kills it at the end if necessary."""
    with subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "local.dps", *arguments],
        env={**os.environ, **environment},  # noqa: TID251 - a child needs its PATH
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_banner(process: subprocess.Popen[str]) -> list[str]:
    """Returns the lines of output up to `ready`."""
    lines = []
    for line in process.stdout or ():
        lines.append(line.strip())
        if line == "ready\n":
            break
    return lines


@pytest.mark.parametrize("name", ["port", "tls_port"])
async def test_busy_port_fails_the_start(busy_port: int, name: str) -> None:
    """The error names the port, http or https."""
    ports = {"port": 0, "tls_port": 0, name: busy_port}
    dps = DpsStandIn(Options(port=ports["port"], tls_port=ports["tls_port"]))

    with pytest.raises(OSError, match=f"port {busy_port} of 127.0.0.1"):
        await dps.start()


def test_stop_closes_a_tls_connection_that_the_client_keeps_open() -> None:
    """The socket is closed although the client sends no close_notify."""
    with in_thread(DpsStandIn(Options(port=0, tls_port=0))) as dps:
        context = ssl.create_default_context(cadata=dps.tls_certificate.decode())
        stream = socket.create_connection(("127.0.0.1", dps.tls_port), 5)
        client = context.wrap_socket(stream, server_hostname="127.0.0.1")
        client.sendall(b"GET /_stats HTTP/1.1\r\nHost: dps\r\n\r\n")
        client.recv(1)

    with client, socket.socket(fileno=os.dup(client.fileno())) as connection:
        connection.settimeout(5)
        assert any(not connection.recv(65536) for _ in range(10))


async def test_connection_string_contains_the_free_port() -> None:
    """HostName includes the port, so that clients reach the stand-in."""
    dps = DpsStandIn(Options(port=0, tls_port=None))

    await dps.start()
    await dps.stop()

    key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
    assert dps.port != 0
    assert dps.connection_string == (
        f"HostName=127.0.0.1:{dps.port};"
        f"SharedAccessKeyName=provisioningserviceowner;SharedAccessKey={key}"
    )


def test_tls_url_without_https_is_an_error(
    start_dps: StartDps,
) -> None:
    """The error names the option that enables https."""
    dps, _ = start_dps()

    with pytest.raises(ValueError, match=r"Options\.tls_port"):
        _ = dps.tls_url


def test_stop_does_not_wait_for_open_requests() -> None:
    """It waits neither for a stalled request nor for one that takes a minute."""
    server = DpsStandIn(Options(port=0, tls_port=None, single_ms=60_000))
    with in_thread(server, stop_within=5) as dps, signed_client(dps) as client:
        client.put("/_faults", json=[{"do": {"stall": True}, "times": 1}])
        for _ in range(2):
            with pytest.raises(httpx.ReadTimeout):
                client.get("/enrollments/a", timeout=0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_command_prints_its_addresses_and_ends_on_a_signal(
    number: signal.Signals, tmp_path: Path
) -> None:
    """It prints a banner and `ready`, and exits with 0 after Ctrl-C or SIGTERM."""
    certificate = tmp_path / "dps.pem"
    arguments = ["--certificate", str(certificate), "--throttle", "5", "--latency", "1"]
    arguments += ["--retry-scale", "0.1", "--hub-latency", "hub-1.azure-devices.net=20"]
    with command(*arguments, DPS_PORT="0", DPS_TLS_PORT="0") as process:
        banner = read_banner(process)
        [curl] = [line.split()[-1] for line in banner if line.startswith("try")]
        response = httpx.get(curl, verify=NO_TLS)
        process.send_signal(number)
        code = process.wait(10)

    assert (response.status_code, code) == (200, 0)
    assert any("HostName=127.0.0.1:" in line for line in banner)
    assert certificate.read_text().startswith("-----BEGIN CERTIFICATE-----")


def test_command_with_a_busy_port_exits_with_1(busy_port: int) -> None:
    """It prints one line, which names the port."""
    with command("--port", str(busy_port), DPS_TLS_PORT="0") as process:
        _, errors = process.communicate(timeout=20)

    assert process.returncode == 1
    assert errors.startswith(f"cannot listen on port {busy_port} of 127.0.0.1: ")
    assert errors.count("\n") == 1


def test_command_with_an_invalid_environment_variable_exits_with_2() -> None:
    """The error names the variable and its value."""
    with command(DPS_PORT="http") as process:
        _, errors = process.communicate(timeout=20)

    assert process.returncode == 2
    assert "DPS_PORT must be a port between 0 and 65535, not 'http'" in errors


def test_stop_releases_the_port() -> None:
    """A second stand-in can listen on it at once."""
    with in_thread(DpsStandIn(Options(port=0, tls_port=None))) as first:
        port = first.port

    with in_thread(DpsStandIn(Options(port=port, tls_port=None))) as second:
        assert second.port == port


async def test_server_certificate_passes_strict_verification() -> None:
    """Python 3.13 verifies like this by default; 127.0.0.1 and localhost are valid."""
    dps = DpsStandIn(Options(port=0, tls_port=0))
    context = ssl.create_default_context(cadata=dps.tls_certificate.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    await dps.start()
    async with httpx.AsyncClient(verify=context) as client:
        responses = [
            await client.get(f"https://{host}:{dps.tls_port}/_stats")
            for host in ("127.0.0.1", "localhost")
        ]
    await dps.stop()

    assert [response.status_code for response in responses] == [200, 200]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--throttle", "0"),
        ("--throttle", "x"),
        ("--port", "65536"),
        ("--port", "-1"),
        ("--retry-scale", "0"),
        ("--hub-latency", "5"),
        ("--hub-latency", "hub-1=soon"),
    ],
)
def test_command_with_an_invalid_argument_exits_with_2(arguments: tuple[str, ...]) -> None:
    """The error names the argument."""
    with command(*arguments) as process:
        _, errors = process.communicate(timeout=20)

    assert process.returncode == 2
    assert arguments[0] in errors


async def test_reset_fault_ends_an_https_connection_at_once() -> None:
    """The client sees a closed connection, not a timeout."""
    dps = DpsStandIn(Options(port=0, tls_port=0))
    await dps.start()
    async with httpx.AsyncClient(verify=False) as client:  # noqa: S501 - the certificate is self-signed
        await client.put(f"{dps.tls_url}/_faults", json=[{"do": {"resetBefore": True}}])
        with pytest.raises(httpx.TransportError) as error:
            await asyncio.wait_for(client.get(f"{dps.tls_url}/enrollments/a"), 5)
    await dps.stop()

    assert not isinstance(error.value, httpx.TimeoutException)
