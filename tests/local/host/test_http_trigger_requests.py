"""HTTP triggers: the request that a function receives."""

import re

import pytest

from tests.local.host.toy_apps import RunningApp


async def test_header_names_are_lower_case(echo: RunningApp) -> None:
    """Header names are in lower case, however they were sent."""
    reply = await echo.client.get("/api/echo", headers={"X-Thing": "one"})

    assert reply.json()["headers"]["x-thing"] == "one"


async def test_long_header_is_accepted(echo: RunningApp) -> None:
    """A header as long as a large token is accepted."""
    reply = await echo.client.get("/api/echo", headers={"Authorization": "x" * 20_000})

    assert len(reply.json()["headers"]["authorization"]) == 20_000


async def test_repeated_headers_are_joined(echo: RunningApp) -> None:
    """Headers with the same name are joined by commas, in order."""
    reply = await echo.client.get("/api/echo", headers=[("X-Thing", "one"), ("x-thing", "two")])

    assert reply.json()["headers"]["x-thing"] == "one,two"


async def test_repeated_query_keys_are_joined(echo: RunningApp) -> None:
    """Query keys that are equal ignoring case are joined by commas."""
    reply = await echo.client.get("/api/echo?Key=one&key=two%20words&other=x+y")

    assert reply.json()["params"] == {"Key": "one,two words", "other": "x y"}


async def test_empty_query_values_are_dropped(echo: RunningApp) -> None:
    """Query keys without a value are left out."""
    reply = await echo.client.get("/api/echo?empty=&bare&full=1&half=&half=2")

    assert reply.json()["params"] == {"full": "1", "half": "2"}


async def test_route_values_are_decoded(echo: RunningApp) -> None:
    """Percent-encoded route values are decoded as UTF-8."""
    reply = await echo.client.get("/api/echo/a%20b%C3%A9+c")

    assert reply.json()["route"] == {"id": "a bé+c"}


async def test_encoded_slash_stays_encoded(echo: RunningApp) -> None:
    """An encoded slash belongs to a route value and is not decoded."""
    reply = await echo.client.get("/api/echo/a%2Fb%2fc")

    assert reply.json()["route"] == {"id": "a%2Fb%2fc"}


async def test_url_is_complete(echo: RunningApp) -> None:
    """The URL includes the client's Host header, the path and the query."""
    reply = await echo.client.get("/api/echo/a%20b?x=1", headers={"Host": "dps.example"})

    assert reply.json()["url"] == "http://dps.example/api/echo/a%20b?x=1"


async def test_body_is_unchanged(echo: RunningApp) -> None:
    """The body is not changed, even with a Content-Encoding header."""
    body = bytes(range(256))

    reply = await echo.client.post("/api/echo", content=body, headers={"Content-Encoding": "gzip"})

    assert reply.json()["body"].encode("latin-1") == body


async def test_large_body_is_accepted(echo: RunningApp) -> None:
    """A body of two megabytes is accepted: only Azure's limit applies."""
    reply = await echo.client.post("/api/echo", content=b"x" * 2_000_000)

    assert len(reply.json()["body"]) == 2_000_000


async def test_chunked_body_is_empty(echo: RunningApp, caplog: pytest.LogCaptureFixture) -> None:
    """A body without Content-Length is received as empty, with a warning in the log."""
    reply = await echo.send_raw(
        b"POST /api/echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    )

    assert re.search(rb'"body": ""', reply)
    assert "the function receives an empty body" in caplog.text


async def test_too_large_body_is_413(echo: RunningApp) -> None:
    """A body over 104857600 bytes gives 413 before it is read."""
    reply = await echo.send_raw(
        b"POST /api/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 104857601\r\n\r\n",
        until=b"\r\n\r\n",
    )

    assert reply.startswith(b"HTTP/1.1 413 ")
    assert b"Content-Length: 0\r\n" in reply


async def test_client_that_disconnects_is_no_error(
    echo: RunningApp, caplog: pytest.LogCaptureFixture
) -> None:
    """An incomplete body invokes no function and logs no traceback."""
    await echo.send_raw(
        b"POST /api/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\nhalf",
        until=b" 100 Continue\r\n\r\n",
    )

    assert (await echo.client.get("/api/echo")).status_code == 200
    assert "Traceback" not in caplog.text


async def test_expect_100_continue_is_supported(echo: RunningApp) -> None:
    """The host sends 100 Continue to a client that expects it, as curl does for large bodies."""
    reply = await echo.send_raw(
        b"POST /api/echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\nhi"
    )

    assert reply.startswith(b"HTTP/1.1 100 ")
    assert b'"body": "hi"' in reply
