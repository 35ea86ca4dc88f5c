"""HTTP triggers: function keys."""

import logging

import pytest

from tests.local.host.toy_apps import RunningApp, Serve
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
async def locked(serve: Serve) -> RunningApp:
    """An app on a host with a key, with a function of each authorization level."""
    return await serve(TOY, preamble=PREAMBLE, key=KEY)


@pytest.mark.parametrize("path", ["/api/function", "/api/master"])
@pytest.mark.parametrize(
    ("headers", "query"),
    [
        pytest.param({}, "", id="none"),
        pytest.param({"x-functions-key": "wrong"}, "", id="wrong-header"),
        pytest.param({"x-functions-key": ""}, f"?code={KEY}", id="empty-header-first"),
        pytest.param({"x-functions-key": "wrong"}, f"?code={KEY}", id="wrong-header-first"),
        pytest.param({}, "?code=wrong", id="wrong-code"),
        pytest.param({"Authorization": KEY}, "", id="another-header"),
    ],
)
async def test_missing_or_wrong_key_is_401(
    locked: RunningApp, path: str, headers: dict[str, str], query: str
) -> None:
    """A missing or wrong key gives 401 without a body; the header takes precedence."""
    reply = await locked.client.get(path + query, headers=headers)

    assert (reply.status_code, reply.content) == (401, b"")


@pytest.mark.parametrize("path", ["/api/function", "/api/master"])
@pytest.mark.parametrize(
    ("headers", "query"),
    [
        pytest.param({"X-Functions-Key": KEY}, "", id="header"),
        pytest.param({"x-functions-key": KEY}, "?code=wrong", id="header-first"),
        pytest.param({}, f"?code={KEY}", id="code"),
        pytest.param({}, f"?CODE={KEY}", id="code-in-upper-case"),
    ],
)
async def test_key_is_accepted(
    locked: RunningApp, path: str, headers: dict[str, str], query: str
) -> None:
    """The key is accepted in the header and in the query."""
    reply = await locked.client.get(path + query, headers=headers)

    assert reply.status_code == 200


async def test_anonymous_functions_need_no_key(locked: RunningApp) -> None:
    """An ANONYMOUS function needs no key."""
    reply = await locked.client.get("/api/anonymous")

    assert reply.status_code == 200


async def test_host_without_a_key_needs_none(serve: Serve) -> None:
    """A host that was given no key accepts every request."""
    served = await serve(TOY, preamble=PREAMBLE)

    reply = await served.client.get("/api/master")

    assert reply.status_code == 200


async def test_unknown_path_needs_no_key(locked: RunningApp) -> None:
    """An unknown path gives 404, not 401: keys protect functions, not the host."""
    reply = await locked.client.get("/api/nothing")

    assert reply.status_code == 404


async def test_key_in_an_invalid_request_is_not_logged(
    locked: RunningApp, caplog: pytest.LogCaptureFixture
) -> None:
    """An invalid HTTP request gives 400 and is logged without its text."""
    reply = await locked.send_raw(
        f"GET /api/function?code={KEY}é HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    )

    assert reply.split(b" ", 2)[1] == b"400"
    assert "Error handling request" in caplog.text
    assert KEY not in caplog.text


async def test_keys_are_not_logged(locked: RunningApp, caplog: pytest.LogCaptureFixture) -> None:
    """No key is logged, valid or not, from the header or the query."""
    caplog.set_level(logging.DEBUG)

    await locked.client.get("/api/function", headers={"x-functions-key": KEY})
    await locked.client.get(f"/api/function?code={KEY}")
    await locked.client.get(f"/api/function?code={KEY[:-1]}-")

    lines = [record.getMessage() for record in caplog.records if record.name == "local.host"]
    assert [line.rsplit(" ", 1)[1] for line in lines] == ["200", "200", "401"]
    assert not [line for line in lines if KEY[:-1] in line]
