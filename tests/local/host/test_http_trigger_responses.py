"""HTTP triggers: the response for what a function returns or raises."""

import logging

import httpx
import pytest

from tests.local.host.toy_apps import Serve

TOY = """
@app.route(route="it")
async def it(req: func.HttpRequest) -> func.HttpResponse:
    return {}
"""


async def answer(serve: Serve, expression: str) -> httpx.Response:
    served = await serve(TOY.format(expression))
    return await served.client.get("/api/it")


async def test_status_headers_and_body_are_sent(serve: Serve) -> None:
    """The response has the status, headers and body of the HttpResponse."""
    reply = await answer(
        serve, "func.HttpResponse(b'\\x00\\xff', status_code=202, headers={'X-A': 'b'})"
    )

    assert (reply.status_code, reply.headers["x-a"], reply.content) == (202, "b", b"\x00\xff")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param("'x'", "text/plain; charset=utf-8", id="default"),
        pytest.param("'x', mimetype='application/json'", "application/json", id="json"),
        pytest.param("'x', mimetype='text/html'", "text/html; charset=utf-8", id="html"),
        pytest.param("'é', charset='latin-1'", "text/plain; charset=latin-1", id="charset"),
        pytest.param("headers={'content-type': 'a/b'}", "a/b", id="header"),
    ],
)
async def test_content_type(serve: Serve, arguments: str, expected: str) -> None:
    """A header takes precedence over mimetype and charset; only text has a charset."""
    reply = await answer(serve, f"func.HttpResponse({arguments})")

    assert reply.headers.get_list("content-type") == [expected]


async def test_charset_encodes_the_body(serve: Serve) -> None:
    """A str body is encoded with the response's charset."""
    reply = await answer(serve, "func.HttpResponse('é', charset='latin-1')")

    assert reply.content == b"\xe9"


async def test_empty_response_has_no_body(serve: Serve) -> None:
    """A 204 response has no body."""
    reply = await answer(serve, "func.HttpResponse(status_code=204)")

    assert (reply.status_code, reply.content) == (204, b"")


async def test_each_cookie_is_sent(serve: Serve) -> None:
    """All Set-Cookie headers are sent; of other repeated headers only the last is."""
    served = await serve(
        """
        @app.route(route="it")
        async def it(req: func.HttpRequest) -> func.HttpResponse:
            response = func.HttpResponse()
            for name, value in [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X", "1"), ("x", "2")]:
                response.headers.add(name, value)
            return response
        """
    )

    reply = await served.client.get("/api/it")

    assert reply.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert reply.headers.get_list("x") == ["2"]


async def test_str_is_sent_as_text(serve: Serve) -> None:
    """A str is sent as text/plain."""
    reply = await answer(serve, "'hello'")

    assert (reply.status_code, reply.text) == (200, "hello")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("value", ["None", "{'a': 1}", "b'bytes'", "(200, 'x')"])
async def test_invalid_result_is_500(serve: Serve, value: str) -> None:
    """A result that is neither an HttpResponse nor a str gives 500 without a body."""
    reply = await answer(serve, value)

    assert (reply.status_code, reply.content) == (500, b"")


@pytest.mark.parametrize(
    "response",
    [
        pytest.param("headers={'X': 'naïve'}", id="not-ascii"),
        pytest.param("headers={'X': 'a\\x0bb'}", id="control-character"),
        pytest.param("status_code=99", id="no-status"),
    ],
)
async def test_invalid_response_is_500(serve: Serve, response: str) -> None:
    """A response that Azure's server does not send gives 500."""
    reply = await answer(serve, f"func.HttpResponse('x', {response})")

    assert (reply.status_code, reply.content) == (500, b"")


async def test_exception_is_500(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """An exception gives 500 without a body; its traceback is logged."""
    caplog.set_level(logging.INFO)

    reply = await answer(serve, "1 / 0")

    assert (reply.status_code, reply.content) == (500, b"")
    assert "ZeroDivisionError" in caplog.text
    assert "function_app.py" in caplog.text


async def test_request_is_not_logged(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Body, headers and query of a failed request are not logged."""
    caplog.set_level(logging.DEBUG)
    served = await serve(TOY.format("1 / 0"))

    await served.client.post(
        "/api/it?q=query-text", content="body-text", headers={"X-A": "header-text"}
    )

    messages = [record.getMessage() for record in caplog.records if record.name == "local.host"]
    assert messages
    assert not [line for line in messages if "-text" in line]


@pytest.mark.parametrize(
    "statement", ["raise SystemExit(3)", "raise asyncio.CancelledError", "raise TimeoutError"]
)
async def test_base_exceptions_are_500(serve: Serve, statement: str) -> None:
    """SystemExit, CancelledError and TimeoutError of a function do not affect the host."""
    served = await serve(
        f"""
        @app.route(route="it")
        async def it(req: func.HttpRequest) -> func.HttpResponse:
            {statement}

        @app.route(route="blocking")
        def blocking(req: func.HttpRequest) -> func.HttpResponse:
            {statement}
        """
    )

    replies = [await served.client.get(f"/api/{name}") for name in ("it", "blocking", "it")]

    assert [reply.status_code for reply in replies] == [500, 500, 500]
