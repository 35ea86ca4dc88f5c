"""The HTTP transport: TLS, connection errors and the headers on the wire."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from local.dps import DpsStandIn
from shared.dps import CallContext, DpsClient
from shared.errors import DpsHostError, DpsUnreachableError, NotConfiguredError
from shared.settings import Settings
from tests.secret_factory import connection_string


async def test_refused_connection_is_unreachable() -> None:
    """If no server listens at the port, the error says that nothing was sent."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    settings = Settings.read(
        {
            "DPS_CONNECTION_STRING": connection_string(url),
            "DPS_MAX_ATTEMPTS": "2",
        }
    )

    async with DpsClient(settings) as client:
        with pytest.raises(DpsUnreachableError):
            await client.enrollments.delete("dev-1")


async def test_unknown_host_is_a_host_error() -> None:
    """A host name that cannot be resolved has its own error: a setting may be wrong."""
    connection = connection_string("dps.invalid")
    settings = Settings.read({"DPS_CONNECTION_STRING": connection, "DPS_MAX_ATTEMPTS": "1"})

    async with DpsClient(settings) as client:
        with pytest.raises(DpsHostError):
            await client.enrollments.get("dev-1")


async def test_untrusted_certificate_is_a_host_error(dps: DpsStandIn) -> None:
    """A server whose certificate is not trusted receives no request."""
    connection = dps.connection_string.replace(dps.url[7:], dps.tls_url)

    async with DpsClient(
        Settings.read({"DPS_CONNECTION_STRING": connection, "DPS_MAX_ATTEMPTS": "1"})
    ) as client:
        with pytest.raises(DpsHostError):
            await client.enrollments.get("dev-1")

    assert dps.requests == []


async def test_certificate_in_ssl_cert_file_is_trusted(
    dps: DpsStandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`SSL_CERT_FILE` names the trusted certificates."""
    certificates = tmp_path / "trusted.pem"
    certificates.write_bytes(dps.tls_certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates))
    connection = dps.connection_string.replace(dps.url[7:], dps.tls_url)

    async with DpsClient(Settings.read({"DPS_CONNECTION_STRING": connection})) as client:
        page = await client.enrollments.query({"query": "SELECT *"}).page()

    assert page.records == []


@pytest.fixture
async def listener() -> AsyncIterator[tuple[str, list[str]]]:
    """A server that records the head of each request and answers with an empty record."""
    heads: list[str] = []
    writers: list[asyncio.StreamWriter] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
            b"Set-Cookie: a=b\r\nConnection: close\r\n\r\n{}"
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heads
    server.close()
    for writer in writers:
        writer.close()
        await writer.wait_closed()


async def test_request_without_a_body_has_no_content_type(listener: tuple[str, list[str]]) -> None:
    """A POST without a body is sent as Microsoft's SDK sends it: no content type, length 0."""
    url, heads = listener
    connection = connection_string(url)

    async with DpsClient(Settings.read({"DPS_CONNECTION_STRING": connection})) as client:
        await client.enrollments.get_attestation_mechanism("a:b")

    head = heads[0].lower()
    assert "content-type" not in head
    assert "content-length: 0" in head
    assert heads[0].startswith("POST /enrollments/a:b/attestationmechanism?api-version=2021-10-01")


async def test_context_is_sent_to_dps(listener: tuple[str, list[str]]) -> None:
    """The client request id, the traceparent and the API version are sent."""
    url, heads = listener
    connection = connection_string(url)
    context = CallContext(
        api_version="2019-03-31", client_request_id="order 7", traceparent="00-" + "a" * 32
    )

    async with DpsClient(Settings.read({"DPS_CONNECTION_STRING": connection})) as client:
        await client.enrollments.get("dev-1", context=context)

    assert "?api-version=2019-03-31 " in heads[0]
    assert "x-ms-client-request-id: order 7\r\n" in heads[0]
    assert "traceparent: 00-aaaa" in heads[0]


async def test_cookies_are_not_sent_back(listener: tuple[str, list[str]]) -> None:
    """A cookie of one response is not in the next request."""
    url, heads = listener
    connection = connection_string(url)

    async with DpsClient(Settings.read({"DPS_CONNECTION_STRING": connection})) as client:
        await client.enrollments.get("dev-1")
        await client.enrollments.get("dev-1")

    assert len(heads) == 2
    assert not any("cookie:" in head.lower() for head in heads)


async def test_missing_certificate_file_is_a_settings_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """If `SSL_CERT_FILE` does not exist, the error names the variable."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))

    with pytest.raises(NotConfiguredError) as raised:
        DpsClient(Settings.read({"DPS_CONNECTION_STRING": connection_string("localhost")}))

    assert list(raised.value.faults) == ["SSL_CERT_FILE"]
