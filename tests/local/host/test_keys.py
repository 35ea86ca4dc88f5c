"""Function keys."""

import logging

import pytest

from tests.secret_factory import function_key

KEY = function_key()

TOY = """
@app.route(route="anonymous", auth_level=func.AuthLevel.ANONYMOUS)
async def anonymous(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("in")

@app.route(route="function")
async def function(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("in")

@app.route(route="admin_level", auth_level=func.AuthLevel.ADMIN)
async def key_of_master(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("in")
""".replace("admin_level", "master")

PREAMBLE = "import azure.functions as func\napp = func.FunctionApp()\n"


@pytest.fixture
async def locked(serve):
    """A host that asks for a key, with a function of each level."""
    return await serve(TOY, preamble=PREAMBLE, key=KEY)


@pytest.mark.parametrize("path", ["/api/function", "/api/master"])
@pytest.mark.parametrize(
    ("headers", "query"),
    [
        pytest.param({}, "", id="none"),
        pytest.param({"x-functions-key": "wrong"}, "", id="wrong-header"),
        pytest.param({"x-functions-key": ""}, f"?code={KEY}", id="empty-header-wins"),
        pytest.param({"x-functions-key": "wrong"}, f"?code={KEY}", id="wrong-header-wins"),
        pytest.param({}, "?code=wrong", id="wrong-code"),
        pytest.param({"Authorization": KEY}, "", id="another-header"),
    ],
)
async def test_without_the_key_nobody_enters(locked, path, headers, query):
    """A missing or wrong key is 401 without a body; the header is the one that counts."""
    reply = await locked.client.get(path + query, headers=headers)

    assert (reply.status_code, reply.content) == (401, b"")


@pytest.mark.parametrize("path", ["/api/function", "/api/master"])
@pytest.mark.parametrize(
    ("headers", "query"),
    [
        pytest.param({"X-Functions-Key": KEY}, "", id="header"),
        pytest.param({"x-functions-key": KEY}, "?code=wrong", id="header-wins"),
        pytest.param({}, f"?code={KEY}", id="code"),
        pytest.param({}, f"?CODE={KEY}", id="code-in-upper-case"),
    ],
)
async def test_the_key_opens(locked, path, headers, query):
    """The key is taken from the header or from the query."""
    reply = await locked.client.get(path + query, headers=headers)

    assert reply.status_code == 200


async def test_anonymous_functions_need_no_key(locked):
    """ANONYMOUS functions answer everyone."""
    reply = await locked.client.get("/api/anonymous")

    assert reply.status_code == 200


async def test_without_a_key_of_its_own_the_host_asks_for_none(serve):
    """Keys are off unless the host is given one."""
    served = await serve(TOY, preamble=PREAMBLE)

    reply = await served.client.get("/api/master")

    assert reply.status_code == 200


async def test_unknown_path_needs_no_key(locked):
    """404 comes before 401: a key guards a function, not the host."""
    reply = await locked.client.get("/api/nothing")

    assert reply.status_code == 404


async def test_key_in_an_unreadable_request_stays_out_of_the_log(locked, caplog):
    """A request that is no HTTP is answered 400 and logged without its text."""
    reply = await locked.raw(f"GET /api/function?code={KEY}é HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    assert reply.split(b" ", 2)[1] == b"400"
    assert "Error handling request" in caplog.text
    assert KEY not in caplog.text


async def test_keys_stay_out_of_the_log(locked, caplog):
    """Neither a right nor a wrong key is logged, wherever it stood."""
    caplog.set_level(logging.DEBUG)

    await locked.client.get("/api/function", headers={"x-functions-key": KEY})
    await locked.client.get(f"/api/function?code={KEY}")
    await locked.client.get(f"/api/function?code={KEY[:-1]}-")

    lines = [record.getMessage() for record in caplog.records if record.name == "local.host"]
    assert [line.rsplit(" ", 1)[1] for line in lines] == ["200", "200", "401"]
    assert not [line for line in lines if KEY[:-1] in line]
