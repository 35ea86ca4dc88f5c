"""What a caller gets for what a function returns."""

import logging

import pytest

TOY = """
@app.route(route="it")
async def it(req: func.HttpRequest) -> func.HttpResponse:
    return {}
"""


async def answer(serve, expression):
    served = await serve(TOY.format(expression))
    return await served.client.get("/api/it")


async def test_status_headers_and_body_are_sent(serve):
    """An HttpResponse arrives with its status, its headers and its body."""
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
async def test_content_type_is_that_of_the_library(serve, arguments, expected):
    """A header wins over mimetype and charset, and only text has a charset."""
    reply = await answer(serve, f"func.HttpResponse({arguments})")

    assert reply.headers.get_list("content-type") == [expected]


async def test_charset_encodes_the_body(serve):
    """A str body is encoded in the response's charset."""
    reply = await answer(serve, "func.HttpResponse('é', charset='latin-1')")

    assert reply.content == b"\xe9"


async def test_empty_response_has_no_body(serve):
    """204 goes out without a body."""
    reply = await answer(serve, "func.HttpResponse(status_code=204)")

    assert (reply.status_code, reply.content) == (204, b"")


async def test_each_cookie_is_a_header(serve):
    """Several Set-Cookie headers all arrive, though of other headers only the last does."""
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


async def test_str_is_sent_as_text(serve):
    """A function may return a str."""
    reply = await answer(serve, "'hello'")

    assert (reply.status_code, reply.text) == (200, "hello")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("value", ["None", "{'a': 1}", "b'bytes'", "(200, 'x')"])
async def test_other_values_are_500(serve, value):
    """What is neither an HttpResponse nor a str is an error, answered without a body."""
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
async def test_response_that_http_cannot_carry_is_500(serve, response):
    """A response that Azure's server refuses to send is answered 500 here too."""
    reply = await answer(serve, f"func.HttpResponse('x', {response})")

    assert (reply.status_code, reply.content) == (500, b"")


async def test_exception_is_an_empty_500(serve, caplog):
    """The caller learns nothing of an exception; the log has its traceback."""
    caplog.set_level(logging.INFO)

    reply = await answer(serve, "1 / 0")

    assert (reply.status_code, reply.content) == (500, b"")
    assert "ZeroDivisionError" in caplog.text
    assert "function_app.py" in caplog.text


async def test_log_of_a_failure_holds_nothing_of_the_request(serve, caplog):
    """Neither body nor headers nor query of a request that failed are logged."""
    caplog.set_level(logging.DEBUG)
    served = await serve(TOY.format("1 / 0"))

    await served.client.post(
        "/api/it?q=query-text", content="body-text", headers={"X-A": "header-text"}
    )

    ours = [record.getMessage() for record in caplog.records if record.name == "local.host"]
    assert ours
    assert not [line for line in ours if "-text" in line]


@pytest.mark.parametrize(
    "statement", ["raise SystemExit(3)", "raise asyncio.CancelledError", "raise TimeoutError"]
)
async def test_odd_exceptions_are_500_and_the_host_lives_on(serve, statement):
    """No exception of a function is taken for one of the host's own."""
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
