"""Connections to DPS: to whom they are made, and what goes over them."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from local.dps import DpsStandIn
from shared.dps import CallContext, DpsClient
from shared.errors import (
    DpsHostError,
    DpsUnreachableError,
    NotConfiguredError,
)
from shared.settings import Settings
from tests.secret_factory import connection_string


async def test_refused_connection_is_unreachable():
    """Where nobody listens nothing was sent, and the error says so."""
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


async def test_unknown_host_is_named():
    """A host no name server knows is told from one that is away: a setting may be wrong."""
    named = connection_string("dps.invalid")
    settings = Settings.read({"DPS_CONNECTION_STRING": named, "DPS_MAX_ATTEMPTS": "1"})

    async with DpsClient(settings) as client:
        with pytest.raises(DpsHostError):
            await client.enrollments.get("dev-1")


async def test_untrusted_certificate_is_named(dps: DpsStandIn):
    """A server that cannot prove who it is gets no request."""
    named = dps.connection_string.replace(dps.url[7:], dps.tls_url)

    async with DpsClient(
        Settings.read({"DPS_CONNECTION_STRING": named, "DPS_MAX_ATTEMPTS": "1"})
    ) as client:
        with pytest.raises(DpsHostError):
            await client.enrollments.get("dev-1")

    assert dps.requests == []


async def test_trusted_certificate_is_spoken_to(dps: DpsStandIn, monkeypatch, tmp_path):
    """Over https the client speaks to whom the machine's certificates vouch for."""
    certificates = tmp_path / "trusted.pem"
    certificates.write_bytes(dps.tls_certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates))
    named = dps.connection_string.replace(dps.url[7:], dps.tls_url)

    async with DpsClient(Settings.read({"DPS_CONNECTION_STRING": named})) as client:
        found = await client.enrollments.query({"query": "SELECT *"}).page()

    assert found.records == []


@pytest.fixture
async def listener() -> AsyncIterator[tuple[str, list[str]]]:
    """A server that notes each request's head and answers an empty record."""
    heads: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=b\r\nConnection: close\r\n\r\n{}"
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heads
    server.close()


async def test_request_without_body_claims_no_content_type(listener):
    """A POST without a body is sent as Microsoft's SDK sends it: no type, and no length but 0."""
    url, heads = listener
    named = connection_string(url)

    async with DpsClient(Settings.read({"DPS_CONNECTION_STRING": named})) as client:
        await client.enrollments.get_attestation_mechanism("a:b")

    head = heads[0].lower()
    assert "content-type" not in head
    assert "content-length: 0" in head
    assert heads[0].startswith("POST /enrollments/a:b/attestationmechanism?api-version=2021-10-01")


async def test_context_of_the_caller_reaches_dps(listener):
    """The caller's request id, trace and API version go along."""
    url, heads = listener
    named = connection_string(url)
    context = CallContext(
        api_version="2019-03-31", client_request_id="order 7", traceparent="00-" + "a" * 32
    )

    async with DpsClient(Settings.read({"DPS_CONNECTION_STRING": named})) as client:
        await client.enrollments.get("dev-1", context=context)

    assert "?api-version=2019-03-31 " in heads[0]
    assert "x-ms-client-request-id: order 7\r\n" in heads[0]
    assert "traceparent: 00-aaaa" in heads[0]


async def test_cookies_are_not_sent_back(listener):
    """Whatever DPS sets, the next request does not carry it."""
    url, heads = listener
    named = connection_string(url)

    async with DpsClient(Settings.read({"DPS_CONNECTION_STRING": named})) as client:
        await client.enrollments.get("dev-1")
        await client.enrollments.get("dev-1")

    assert len(heads) == 2
    assert not any("cookie:" in head.lower() for head in heads)


async def test_certificates_that_are_none_are_a_setting(monkeypatch, tmp_path):
    """A file of trusted certificates that is not there is named as what it is: a wrong setting."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))

    with pytest.raises(NotConfiguredError) as raised:
        DpsClient(Settings.read({"DPS_CONNECTION_STRING": connection_string("localhost")}))

    assert list(raised.value.faults) == ["SSL_CERT_FILE"]
