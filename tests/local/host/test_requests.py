"""What a function is given of a request."""

import re


async def test_header_names_arrive_in_lower_case(echo):
    """A function looks headers up in lower case, however they were sent."""
    reply = await echo.client.get("/api/echo", headers={"X-Thing": "one"})

    assert reply.json()["headers"]["x-thing"] == "one"


async def test_long_header_arrives(echo):
    """A header as long as a large token arrives whole."""
    reply = await echo.client.get("/api/echo", headers={"Authorization": "x" * 20_000})

    assert len(reply.json()["headers"]["authorization"]) == 20_000


async def test_repeated_headers_are_joined(echo):
    """Headers of one name arrive as one, in order, parted by a comma."""
    reply = await echo.client.get("/api/echo", headers=[("X-Thing", "one"), ("x-thing", "two")])

    assert reply.json()["headers"]["x-thing"] == "one,two"


async def test_repeated_query_keys_are_joined(echo):
    """Query keys of one name, which has no case, arrive as one, parted by a comma."""
    reply = await echo.client.get("/api/echo?Key=one&key=two%20words&other=x+y")

    assert reply.json()["params"] == {"Key": "one,two words", "other": "x y"}


async def test_empty_query_values_are_dropped(echo):
    """A query key without a value does not arrive at all."""
    reply = await echo.client.get("/api/echo?empty=&bare&full=1&half=&half=2")

    assert reply.json()["params"] == {"full": "1", "half": "2"}


async def test_route_values_are_decoded(echo):
    """Percent-encoded text in the path arrives decoded, as UTF-8."""
    reply = await echo.client.get("/api/echo/a%20b%C3%A9+c")

    assert reply.json()["route"] == {"id": "a bé+c"}


async def test_encoded_slash_stays_encoded(echo):
    """An encoded slash is part of a route value and stays as it was written."""
    reply = await echo.client.get("/api/echo/a%2Fb%2fc")

    assert reply.json()["route"] == {"id": "a%2Fb%2fc"}


async def test_url_is_that_of_the_request(echo):
    """The function sees the whole URL, with the host the client named."""
    reply = await echo.client.get("/api/echo/a%20b?x=1", headers={"Host": "dps.example"})

    assert reply.json()["url"] == "http://dps.example/api/echo/a%20b?x=1"


async def test_body_arrives_as_bytes(echo):
    """Every byte of the body arrives unchanged, even if it says it is compressed."""
    body = bytes(range(256))

    reply = await echo.client.post("/api/echo", content=body, headers={"Content-Encoding": "gzip"})

    assert reply.json()["body"].encode("latin-1") == body


async def test_body_of_two_megabytes_arrives(echo):
    """No limit below Azure's own cuts a body."""
    reply = await echo.client.post("/api/echo", content=b"x" * 2_000_000)

    assert len(reply.json()["body"]) == 2_000_000


async def test_chunked_body_arrives_empty(echo, caplog):
    """A body without Content-Length arrives empty, and the log says so."""
    reply = await echo.raw(
        b"POST /api/echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    )

    assert re.search(rb'"body": ""', reply)
    assert "the function gets an empty one" in caplog.text


async def test_too_large_body_is_413(echo):
    """A body over 104857600 bytes is refused before it is read."""
    reply = await echo.raw(
        b"POST /api/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 104857601\r\n\r\n",
        until=b"\r\n\r\n",
    )

    assert reply.startswith(b"HTTP/1.1 413 ")
    assert b"Content-Length: 0\r\n" in reply


async def test_caller_that_leaves_while_sending_is_no_error(echo, caplog):
    """A body that breaks off reaches no function and leaves no traceback."""
    await echo.raw(
        b"POST /api/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\nhalf",
        until=b" 100 Continue\r\n\r\n",
    )

    assert (await echo.client.get("/api/echo")).status_code == 200
    assert "Traceback" not in caplog.text


async def test_client_that_expects_a_100_gets_it(echo):
    """A client may ask whether to send its body, as curl does for large ones."""
    reply = await echo.raw(
        b"POST /api/echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\nhi"
    )

    assert reply.startswith(b"HTTP/1.1 100 ")
    assert b'"body": "hi"' in reply
