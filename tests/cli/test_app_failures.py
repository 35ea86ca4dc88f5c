"""`apply` while the app, or a server in front of it, fails."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from local.stack import Stack
from tests.cli.files import device_rows, write_csv
from tests.cli.processes import TIMEOUT, end_of, start, start_apply
from tests.cli.proxy import Forward, Rule, open_proxy

_INTERNAL_ERROR = {"errorCode": 500001, "message": "Internal error", "trackingId": "t"}


@pytest.fixture(autouse=True)
def in_empty_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Runs each test in a directory of its own."""
    monkeypatch.chdir(tmp_path)


def fail_with(id: str) -> Rule:
    """Returns a rule of an app that fails for each request with a record."""

    async def rule(operation: dict[str, Any], forward: Forward) -> web.StreamResponse:
        if any(record["registrationId"] == id for record in operation["enrollments"]):
            return web.json_response(_INTERNAL_ERROR, status=500)
        return await forward()

    return rule


def fail_first(status: int, text: str, *, times: int = 1, applied: bool = False) -> Rule:
    """Returns a rule that answers the first bulk operations, which the app has applied or not."""
    remaining = [text] * times

    async def rule(_: dict[str, Any], forward: Forward) -> web.StreamResponse:
        if not remaining:
            return await forward()
        answer = web.Response(status=status, text=remaining.pop())
        if applied:
            await forward()
        return answer

    return rule


async def test_a_row_with_which_the_app_fails(stack: Stack) -> None:
    """A row for which the app always answers 500001 fails after three attempts; the others are done."""
    write_csv(device_rows(100))
    async with open_proxy(stack.host.url, fail_with("press-0042")) as proxy:
        report, _, code = await end_of(await start_apply(proxy.url))

    assert (code, report["done"], report["failed"]) == (1, 99, 1)
    assert [(f["line"], f["code"]) for f in report["failures"]] == [(44, 500001)]
    assert proxy.sent.count(["press-0042"]) == 3


async def test_requests_grow_again(stack: Stack) -> None:
    """After errors of the app requests have fewer rows, and after successes as many as before."""
    write_csv(device_rows(800))
    rule = fail_first(500, json.dumps(_INTERNAL_ERROR), times=6)
    async with open_proxy(stack.host.url, rule) as proxy:
        report, _, _ = await end_of(await start_apply(proxy.url))

    sizes = [len(ids) for ids in proxy.sent]
    smallest = min(sizes)
    assert report["done"] == 800
    assert (sizes[0], smallest <= 20) == (40, True)
    assert 40 in sizes[sizes.index(smallest) :]


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_an_error_in_front_of_the_app(stack: Stack, status: int) -> None:
    """Rows of a request that the app applied, and a gateway answered with an error, are done."""
    write_csv(device_rows(60))
    rule = fail_first(status, "<html>restarting</html>", applied=True)
    async with open_proxy(stack.host.url, rule) as proxy:
        report, _, code = await end_of(await start_apply(proxy.url))

    assert (code, report["done"]) == (0, 60)


async def test_a_page_in_front_of_the_app(stack: Stack) -> None:
    """A page with status 200 ends the run; its rows are unknown, since they may be applied."""
    write_csv(device_rows(5))
    rule = fail_first(200, "<html>Sign in</html>", applied=True)
    keys = ("--keys", "keys.csv")
    async with open_proxy(stack.host.url, rule) as proxy:
        report, err, code = await end_of(await start_apply(proxy.url, *keys))
        state = await asyncio.to_thread(Path("devices.csv.apply").read_text)
        again, _, _ = await end_of(await start_apply(proxy.url, *keys, "--resume"))

    assert (code, report["done"], report["unknown"]) == (3, 0, 5)
    assert "check the URL" in err
    assert again["done"] == 5
    rows = (await asyncio.to_thread(Path("keys.csv").read_text)).splitlines()[1:]
    assert len(rows) == 5
    assert not any(key in state for row in rows for key in row.split(",")[1:])


async def test_a_file_that_is_changed_meanwhile(stack: Stack) -> None:
    """If the file is changed during a run, no key is removed, and no row of it is called failed."""
    write_csv([*device_rows(30), "press x,symmetricKey,1"])

    async def rule(_: dict[str, Any], forward: Forward) -> web.StreamResponse:
        write_csv(["inserted,symmetricKey,1", *device_rows(30)])
        return await forward()

    options = ("--keys", "keys.csv", "--failures", "failed.csv")
    async with open_proxy(stack.host.url, rule) as proxy:
        report, err, code = await end_of(await start_apply(proxy.url, *options))

    keys = await asyncio.to_thread(Path("keys.csv").read_text)
    assert (code, report["failed"]) == (2, 1)
    assert [(f["line"], f["id"]) for f in report["failures"]] == [(None, "")]
    assert "was changed during the run" in err
    assert len(keys.splitlines()) > report["done"]
    assert not await asyncio.to_thread(Path("failed.csv").exists)


async def test_faults_that_are_no_object(stack: Stack) -> None:
    """An error whose `info` has another form than the app's is reported by its text."""
    write_csv(device_rows(1))
    error = {"errorCode": 400004, "message": "No.", "info": ["x"]}
    async with open_proxy(stack.host.url, fail_first(400, json.dumps(error))) as proxy:
        report, _, _ = await end_of(await start_apply(proxy.url))

    assert [(f["code"], "No." in f["reason"]) for f in report["failures"]] == [(400004, True)]


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("explain", "press-1"), id="explain"),
        pytest.param(("export",), id="export"),
        pytest.param(("rejected", "list"), id="list"),
        pytest.param(("rejected", "discard", "1"), id="discard"),
    ],
)
async def test_an_address_of_something_else(arguments: tuple[str, ...]) -> None:
    """Where a web server has a page at each path, a command ends and says to check the URL."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>Welcome</html>", content_type="text/html")

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", page)
    async with TestServer(application) as server:
        command = await start(str(server.make_url("")), *arguments)
        _, err = await asyncio.wait_for(command.communicate(), TIMEOUT)

    assert command.returncode == 3
    assert b"check the URL" in err
