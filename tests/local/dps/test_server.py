"""Starting, stopping, and the command line."""

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest

from local.dps import DpsStandIn, Options
from local.threads import in_thread
from tests.local.dps.calls import NO_TLS, signed_client


@pytest.fixture
def busy_port():
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@contextmanager
def command(*arguments, **environment):
    """`python -m local.dps` as a process; it is killed if it does not end by itself."""
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


def banner_of(process):
    """The lines up to `ready`."""
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if line == "ready\n":
            break
    return lines


@pytest.mark.parametrize("name", ["port", "tls_port"])
async def test_a_busy_port_is_named(busy_port, name):
    """And the other port is not kept."""
    dps = DpsStandIn(Options(**{"port": 0, "tls_port": 0, name: busy_port}))

    with pytest.raises(OSError, match=f"port {busy_port} on 127.0.0.1"):
        await dps.start()


def test_stopping_ends_a_tls_connection_that_a_client_holds():
    """TLS asks both sides for a goodbye; a client that says none does not keep the socket."""
    with in_thread(DpsStandIn(Options(port=0, tls_port=0))) as dps:
        trusting = ssl.create_default_context(cadata=dps.tls_certificate.decode())
        stream = socket.create_connection(("127.0.0.1", dps.tls_port), 5)
        client = trusting.wrap_socket(stream, server_hostname="127.0.0.1")
        client.sendall(b"GET /_stats HTTP/1.1\r\nHost: dps\r\n\r\n")
        client.recv(1)

    with client, socket.socket(fileno=os.dup(client.fileno())) as beneath:
        beneath.settimeout(5)
        assert any(not beneath.recv(65536) for _ in range(10))


async def test_the_connection_string_is_that_of_the_free_port():
    """HostName carries the port, so any client that takes one reaches the stand-in."""
    dps = DpsStandIn(Options(port=0, tls_port=None))

    await dps.start()
    await dps.stop()

    key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
    assert dps.port != 0
    assert dps.connection_string == (
        f"HostName=127.0.0.1:{dps.port};"
        f"SharedAccessKeyName=provisioningserviceowner;SharedAccessKey={key}"
    )


def test_there_is_no_https_if_none_is_wanted(stand_in):
    """Asking for its address is an error, not a guess."""
    dps, _ = stand_in()

    with pytest.raises(ValueError, match="without https"):
        _ = dps.tls_url


def test_stop_waits_for_nobody():
    """Not for a request that is stalled, nor for one that takes a minute."""
    server = DpsStandIn(Options(port=0, tls_port=None, single_ms=60_000))
    with in_thread(server, stop_within=5) as dps, signed_client(dps) as client:
        client.put("/_faults", json=[{"do": {"stall": True}, "times": 1}])
        for _ in range(2):
            with pytest.raises(httpx.ReadTimeout):
                client.get("/enrollments/a", timeout=0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_where_it_is_and_ends_when_told(number, tmp_path):
    """A banner, `ready`, and exit code 0 after Ctrl-C or SIGTERM."""
    certificate = tmp_path / "dps.pem"
    arguments = ["--certificate", str(certificate), "--throttle", "5", "--latency", "1"]
    arguments += ["--retry-scale", "0.1", "--hub-latency", "hub-1.azure-devices.net=20"]
    with command(*arguments, DPS_PORT="0", DPS_TLS_PORT="0") as process:
        banner = banner_of(process)
        [curl] = [line.split()[-1] for line in banner if line.startswith("try")]
        reply = httpx.get(curl, verify=NO_TLS)
        process.send_signal(number)
        code = process.wait(10)

    assert (reply.status_code, code) == (200, 0)
    assert any("HostName=127.0.0.1:" in line for line in banner)
    assert certificate.read_text().startswith("-----BEGIN CERTIFICATE-----")


def test_the_command_names_a_busy_port_and_fails(busy_port):
    """In one line, with exit code 1."""
    with command("--port", str(busy_port), DPS_TLS_PORT="0") as process:
        _, errors = process.communicate(timeout=20)

    assert process.returncode == 1
    assert errors.startswith(f"port {busy_port} on 127.0.0.1 cannot be had")
    assert errors.count("\n") == 1


def test_the_command_names_a_garbled_environment():
    """The variable and what it holds."""
    with command(DPS_PORT="http") as process:
        _, errors = process.communicate(timeout=20)

    assert process.returncode == 2
    assert "DPS_PORT must be a port between 0 and 65535, not 'http'" in errors


def test_one_stand_in_after_another_may_have_the_same_port():
    """Stopping gives the port back."""
    with in_thread(DpsStandIn(Options(port=0, tls_port=None))) as first:
        port = first.port

    with in_thread(DpsStandIn(Options(port=port, tls_port=None))) as second:
        assert second.port == port


async def test_the_certificate_stands_the_strictest_verification():
    """As Python 3.13 verifies by default; for the address and for localhost."""
    dps = DpsStandIn(Options(port=0, tls_port=0))
    context = ssl.create_default_context(cadata=dps.tls_certificate.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    await dps.start()
    async with httpx.AsyncClient(verify=context) as client:
        replies = [
            await client.get(f"https://{host}:{dps.tls_port}/_stats")
            for host in ("127.0.0.1", "localhost")
        ]
    await dps.stop()

    assert [reply.status_code for reply in replies] == [200, 200]


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
def test_the_command_refuses_a_garbled_argument(arguments):
    """Before anything listens, with exit code 2."""
    with command(*arguments) as process:
        _, errors = process.communicate(timeout=20)

    assert process.returncode == 2
    assert arguments[0] in errors


async def test_a_reset_connection_is_reset_at_once():
    """Over https as well: the caller sees the end of the connection, not a timeout."""
    dps = DpsStandIn(Options(port=0, tls_port=0))
    await dps.start()
    async with httpx.AsyncClient(verify=False) as client:  # noqa: S501 - its certificate is new
        await client.put(f"{dps.tls_url}/_faults", json=[{"do": {"resetBefore": True}}])
        with pytest.raises(httpx.TransportError) as error:
            await asyncio.wait_for(client.get(f"{dps.tls_url}/enrollments/a"), 5)
    await dps.stop()

    assert not isinstance(error.value, httpx.TimeoutException)
