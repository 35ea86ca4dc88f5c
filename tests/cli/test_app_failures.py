"""`apply` while the app, or a server in front of it, fails."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from local.stack import Stack
from tests.cli.files import device_rows, write_csv
from tests.cli.processes import TIMEOUT, end_of, start, start_apply
from tests.cli.proxy import Forward, Rule, open_proxy

_LONG = pytest.mark.long
_INTERNAL_ERROR = {"errorCode": 500001, "message": "Internal error", "trackingId": "t"}


KEYS = ("--keys", "keys.csv")


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


def fail_first(
    status: int, text: str, *, times: int = 1, applied: bool = False, **headers: str
) -> Rule:
    """Returns a rule that answers the first bulk operations, which the app has applied or not."""
    remaining = [text] * times

    async def rule(_: dict[str, Any], forward: Forward) -> web.StreamResponse:
        if not remaining:
            return await forward()
        answer = web.Response(status=status, text=remaining.pop(), headers=headers)
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


async def test_a_row_that_is_applied_with_an_error(stack: Stack) -> None:
    """A row that was deleted although the app reported an internal error for it is done."""
    write_csv(device_rows(3))
    await end_of(await start_apply(stack.host.url))
    error = {"registrationId": "press-0001", "errorCode": 500001, "errorStatus": "Error"}
    result = json.dumps({"isSuccessful": False, "errors": [error]})
    async with open_proxy(stack.host.url, fail_first(200, result, applied=True)) as proxy:
        report, _, code = await end_of(await start_apply(proxy.url, mode="delete"))

    assert (code, report["done"]) == (0, 3)


@pytest.mark.parametrize(
    "status", [pytest.param(502, marks=_LONG), 503, pytest.param(504, marks=_LONG)]
)
async def test_an_error_in_front_of_the_app(stack: Stack, status: int) -> None:
    """Rows of a request that the app applied, and a gateway answered with an error, are done."""
    write_csv(device_rows(60))
    rule = fail_first(status, "<html>restarting</html>", applied=True)
    async with open_proxy(stack.host.url, rule) as proxy:
        report, _, code = await end_of(await start_apply(proxy.url))

    assert (code, report["done"]) == (0, 60)


@pytest.mark.parametrize(
    ("mode", "response"),
    [
        pytest.param("create", (200, "<html>Sign in</html>"), id="html"),
        pytest.param("create", (200, ""), id="empty"),
        pytest.param("create", (302, ""), id="redirect", marks=_LONG),
        pytest.param("create", (499, ""), id="unknown", marks=_LONG),
        pytest.param("delete", (200, ""), id="delete"),
    ],
)
async def test_a_response_of_something_else(
    stack: Stack, mode: str, response: tuple[int, str]
) -> None:
    """If something answers in place of the app the run ends, and --resume finds what was applied."""
    write_csv(device_rows(5))
    keys = KEYS if mode == "create" else ()
    if mode == "delete":
        await end_of(await start_apply(stack.host.url))
    rule = fail_first(*response, applied=True, location="/login")
    async with open_proxy(stack.host.url, rule) as proxy:
        report, _, code = await end_of(await start_apply(proxy.url, *keys, mode=mode))
        again, _, _ = await end_of(await start_apply(proxy.url, *keys, "--resume", mode=mode))

    assert (code, report["done"], report["unknown"]) == (3, 0, 5)
    assert again["done"] == 5


async def test_a_gateway_with_a_small_limit(stack: Stack) -> None:
    """After a 413 no request is larger than the gateway takes, however many succeed."""
    write_csv(device_rows(800))

    async def rule(operation: dict[str, Any], forward: Forward) -> web.StreamResponse:
        is_small = len(operation["enrollments"]) <= 10
        return await forward() if is_small else web.Response(status=413)

    async with open_proxy(stack.host.url, rule) as proxy:
        report, _, _ = await end_of(await start_apply(proxy.url))

    refused = sum(len(ids) > 10 for ids in proxy.sent)
    assert report["done"] == 800
    assert refused <= 12


async def resume_after(
    stack: Stack, change: Callable[[], object], *options: str
) -> tuple[dict[str, Any], str, int | None]:
    """Resumes a run with keys whose five rows are unknown, after a change; returns how it ends."""
    write_csv(device_rows(5))
    rule = fail_first(200, "<html>Sign in</html>", applied=True)
    async with open_proxy(stack.host.url, rule) as proxy:
        report, _, _ = await end_of(await start_apply(proxy.url, *KEYS))
        assert report["unknown"] == 5
        await asyncio.to_thread(change)
        command = await start_apply(proxy.url, *(options or KEYS), "--resume")
        out, err = await asyncio.wait_for(command.communicate(), TIMEOUT)
        return json.loads(out or "{}"), err.decode(), command.returncode


def key_lines() -> list[str]:
    """Returns the lines of the file of keys, without the header."""
    return Path("keys.csv").read_text().splitlines()[1:]


async def test_a_record_that_was_changed_since(stack: Stack, app: httpx.Client) -> None:
    """A row in doubt whose record has the row's own keys is done, whatever else was changed."""

    def disable() -> None:
        body = {"provisioningStatus": "disabled"}
        app.patch("/enrollments/press-0001", json=body).raise_for_status()

    report, _, _ = await resume_after(stack, disable)

    assert report["done"] == 5
    assert len(key_lines()) == 5


async def test_keys_without_the_last_line_end(stack: Stack) -> None:
    """The last keys of a file are used although an editor removed its last line end."""

    def strip() -> None:
        Path("keys.csv").write_text(Path("keys.csv").read_text().rstrip())

    report, _, _ = await resume_after(stack, strip)

    assert report["done"] == 5
    assert len(key_lines()) == 5


async def test_keys_that_are_missing(stack: Stack) -> None:
    """A row that was sent gets no other keys if its own are not in the file."""

    def remove_last() -> None:
        lines = Path("keys.csv").read_text().splitlines(keepends=True)
        Path("keys.csv").write_text("".join(lines[:-1]))

    _, err, code = await resume_after(stack, remove_last)

    assert (code, "has no keys for press-0004" in err) == (2, True)
    assert len(key_lines()) == 4


def move_keys(to: str | None) -> None:
    """Moves the file of keys, or removes it."""
    keys = Path("keys.csv")
    if keys.exists() and to:
        keys.rename(to)
    else:
        keys.unlink(missing_ok=True)


@pytest.mark.parametrize("moved_to", ["moved.csv", None])
async def test_keys_that_are_moved_during_a_run(stack: Stack, moved_to: str | None) -> None:
    """If the file of keys is moved or removed, the run ends, and all keys are in another file."""
    write_csv(device_rows(400))

    async def rule(_: dict[str, Any], forward: Forward) -> web.StreamResponse:
        move_keys(moved_to)
        return await forward()

    async with open_proxy(stack.host.url, rule) as proxy:
        report, err, code = await end_of(await start_apply(proxy.url, *KEYS))

    copy = err.partition("All keys are in ")[2].split()[0].rstrip(".")
    keys = (await asyncio.to_thread(Path(copy).read_text)).splitlines()[1:]
    assert (code, report["unknown"]) == (3, 0)
    assert 0 < report["done"] <= len(keys)


async def test_keys_of_another_run(stack: Stack) -> None:
    """A run cannot be resumed with another file of keys, which is not changed."""
    text = "registrationId,primaryKey,secondaryKey\nold,a,b\n"

    _, err, code = await resume_after(
        stack, lambda: Path("old.csv").write_text(text), "--keys", "old.csv"
    )

    assert (code, "--keys is different" in err) == (2, True)
    assert await asyncio.to_thread(Path("old.csv").read_text) == text


async def test_a_request_that_is_sent_twice(stack: Stack) -> None:
    """Rows of a request that a gateway sent twice are done: the records have their keys."""
    write_csv(device_rows(5))

    async def rule(_: dict[str, Any], forward: Forward) -> web.StreamResponse:
        await forward()
        return await forward()

    async with open_proxy(stack.host.url, rule) as proxy:
        report, _, _ = await end_of(await start_apply(proxy.url, *KEYS))

    assert report["done"] == 5
    assert len(await asyncio.to_thread(key_lines)) == 5


async def test_errors_without_a_code_are_waited_for(stack: Stack) -> None:
    """Errors 500 of a server in front of the app make no row fail."""
    write_csv(device_rows(3))
    async with open_proxy(stack.host.url, fail_first(500, "", times=4)) as proxy:
        report, _, code = await end_of(await start_apply(proxy.url))

    assert (code, report["done"]) == (0, 3)


@pytest.mark.parametrize(
    "text",
    ['{"isSuccessful": false, "errors": []}', '{"isSuccessful": false, "errors": ["x"]}', "{}"],
)
async def test_a_result_that_is_none(stack: Stack, text: str) -> None:
    """A response that is no result of a bulk operation says nothing about its rows."""
    write_csv(device_rows(3))
    async with open_proxy(stack.host.url, fail_first(200, text)) as proxy:
        report, _, code = await end_of(await start_apply(proxy.url))

    assert (code, report["done"], len(proxy.sent)) == (0, 3, 2)


async def test_a_file_that_is_changed_meanwhile(stack: Stack) -> None:
    """If the file is changed during a run, the run ends, and no row of the new content is used."""
    write_csv([*device_rows(3000), "press x,symmetricKey,1"])

    async def rule(_: dict[str, Any], forward: Forward) -> web.StreamResponse:
        if len(proxy.sent) == 1:
            write_csv(["inserted,symmetricKey,1", *device_rows(3000)])
        return await forward()

    options = ("--keys", "keys.csv", "--failures", "failed.csv")
    async with open_proxy(stack.host.url, rule) as proxy:
        report, err, code = await end_of(await start_apply(proxy.url, *options))

    keys = await asyncio.to_thread(Path("keys.csv").read_text)
    assert (code, report["failed"]) == (2, 1)
    assert [(f["line"], f["id"]) for f in report["failures"]] == [(None, "")]
    assert "was changed meanwhile" in err
    assert 0 < report["done"] < 3000
    assert (report["unknown"], len(keys.splitlines()) > report["done"]) == (0, True)
    assert "inserted" not in (id for ids in proxy.sent for id in ids)
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
