"""`apply` that is interrupted: by Ctrl-C, by kill -9, by a restart of the app; then --resume."""

import asyncio
import csv
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.dps import DpsStandIn
from local.stack import ROOT, UNPACED, Stack
from tests.cli.files import HEADER, attestation, device_rows, stored, write_csv
from tests.cli.processes import (
    TIMEOUT,
    Command,
    end_of,
    kill,
    report_of,
    start,
    start_apply,
    state_lines,
    wait_for_state,
)
from tests.processes import reserve_port

ROWS = 400
LATENCY = {"singleMs": 1, "bulkMs": 30}
_NO_QUEUES = {
    f"AzureWebJobs_{name}_Disabled": "1" for name in ("enrollment_requests", "bulk_operations")
}


@pytest.fixture(autouse=True)
def in_empty_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Runs each test in a directory of its own."""
    monkeypatch.chdir(tmp_path)


def append(name: str, text: str) -> None:
    """Appends a text to a file."""
    with Path(name).open("a") as file:
        file.write(text)


@pytest.fixture
def slow_dps(stack: Stack) -> Stack:
    """The stack with a DPS that takes 30 ms for a bulk call."""
    set_latency(stack.dps)
    return stack


def set_latency(dps: DpsStandIn, latency: dict[str, int] = LATENCY) -> None:
    """Sets a latency with which a command can be interrupted in the middle."""
    httpx.put(f"{dps.url}/_latency", json=latency).raise_for_status()


def resumed(report: dict[str, Any]) -> tuple[int, int]:
    """Returns how many rows are done, and how many are anything else."""
    return report["done"], report["rows"] - report["done"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_ctrl_c_ends_cleanly(slow_dps: Stack, number: signal.Signals) -> None:
    """Ctrl-C lets the requests in flight end: no row is unknown, and --resume does the rest."""
    write_csv(device_rows(ROWS))
    command = await start_apply(slow_dps.host.url)
    await wait_for_state(6, command)

    command.send_signal(number)
    out, err = await asyncio.wait_for(command.communicate(), TIMEOUT)

    report = json.loads(out)
    assert command.returncode == 130
    assert report["unknown"] == 0
    assert report["notAttempted"] > 0
    assert b"--resume" in err
    again = await report_of(await start_apply(slow_dps.host.url, "--resume"))
    assert resumed(again) == (ROWS, 0)


async def test_ctrl_c_during_the_comparison(stack: Stack) -> None:
    """Ctrl-C ends the comparison of rows with records, too; --resume compares the others."""
    write_csv(device_rows(ROWS))
    await report_of(await start_apply(stack.host.url))
    set_latency(stack.dps, {"singleMs": 500, "bulkMs": 1})
    command = await start_apply(stack.host.url, "--keys", "keys.csv")
    while all("attestationmechanism" not in r.path for r in list(stack.dps.requests)):  # noqa: ASYNC110
        await asyncio.sleep(0.01)

    command.send_signal(signal.SIGINT)
    report, _, code = await end_of(command)

    assert code == 130
    assert 0 < report["notAttempted"] < ROWS


async def kill_and_resume(url: str, *options: str, mode: str, at: int) -> dict[str, Any]:
    """Kills `apply` when its state has `at` lines, and returns the report of a resumed run."""
    command = await start_apply(url, *options, mode=mode)
    await wait_for_state(at, command)
    await kill(command)
    return await report_of(await start_apply(url, *options, "--resume", mode=mode))


async def test_kill_in_the_middle(slow_dps: Stack, app: httpx.Client) -> None:
    """After kill -9, --resume does the rest: each row is done, and none is called failed."""
    write_csv(device_rows(ROWS))

    report = await kill_and_resume(slow_dps.host.url, mode="create", at=9)

    assert resumed(report) == (ROWS, 0)
    assert len(stored(app)) == ROWS


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
async def test_kill_at_random_moments(slow_dps: Stack, app: httpx.Client, seed: int) -> None:
    """Killed several times, creates with keys and deletes end as if each row was done once."""
    rng = random.Random(seed)  # noqa: S311  repeatable
    write_csv(device_rows(ROWS))
    for mode, options in (("create", ("--keys", "keys.csv")), ("delete", ())):
        command = await start_apply(slow_dps.host.url, *options, mode=mode)
        await wait_for_state(rng.randrange(2, 30), command)
        report = await kill(command)
        # A run that has ended, and whose state is removed, cannot be resumed.
        for kills in (True, True, False):
            if report and not state_lines():
                break
            before = state_lines()
            command = await start_apply(slow_dps.host.url, *options, "--resume", mode=mode)
            if kills:
                await wait_for_state(before + rng.randrange(1, 12), command)
            report = await kill(command) if kills else await report_of(command)

        assert report
        assert resumed(report) == (ROWS, 0), (seed, report["failures"][:3])
        if mode == "create":
            expect_keys(app)
    assert stored(app) == {}


def expect_keys(app: httpx.Client) -> None:
    """Checks that DPS has the keys of the file for each device."""
    rows = list(csv.DictReader(Path("keys.csv").read_text().splitlines()))
    assert len({row["registrationId"] for row in rows}) == len(rows) == ROWS
    for row in rows[:: ROWS // 20]:
        keys = attestation(app, row["registrationId"])["symmetricKey"]
        assert [keys["primaryKey"], keys["secondaryKey"]] == [
            row["primaryKey"],
            row["secondaryKey"],
        ]


def put_other_record(app: httpx.Client, id: str) -> None:
    """Creates a record that the rows do not ask for."""
    document = {"registrationId": id, "attestation": {"type": "none"}}
    app.put(f"/enrollments/{id}", json=document).raise_for_status()


async def test_updates_with_etags(slow_dps: Stack, app: httpx.Client) -> None:
    """Updates of records with an etag are done after a kill, although DPS has other etags then."""
    write_csv(device_rows(ROWS))
    await report_of(await start_apply(slow_dps.host.url))
    etags = {id: record["etag"] for id, record in stored(app).items()}
    rows = [f"{id},symmetricKey,008,{etag}" for id, etag in etags.items()]
    write_csv(rows, header=f"{HEADER},etag")

    report = await kill_and_resume(slow_dps.host.url, mode="update", at=9)

    assert resumed(report) == (ROWS, 0)
    assert {r["initialTwin"]["tags"]["plant"] for r in stored(app).values()} == {"008"}


async def test_a_conflict_stays_a_failure(slow_dps: Stack, app: httpx.Client) -> None:
    """A record that another one made before the run is a failure after a kill, too."""
    put_other_record(app, "press-0003")
    write_csv(device_rows(ROWS))

    report = await kill_and_resume(slow_dps.host.url, mode="create", at=9)

    assert (report["done"], report["failed"]) == (ROWS - 1, 1)
    assert [(f["line"], f["code"]) for f in report["failures"]] == [(5, 409201)]


async def test_a_line_that_is_cut_off(slow_dps: Stack, app: httpx.Client) -> None:
    """A state file and a file of keys whose last line is cut off are used without that line."""
    write_csv(device_rows(ROWS))
    command = await start_apply(slow_dps.host.url, "--keys", "keys.csv")
    await wait_for_state(7, command)
    await kill(command)
    append("devices.csv.apply", '{"done": [[1, 40')
    append("keys.csv", "press-0399,abc")

    report = await report_of(await start_apply(slow_dps.host.url, "--keys", "keys.csv", "--resume"))

    assert resumed(report) == (ROWS, 0)
    expect_keys(app)


async def test_another_file_cannot_go_on(slow_dps: Stack) -> None:
    """A run goes on only with the file, mode and options that it began with."""
    write_csv(device_rows(ROWS))
    command = await start_apply(slow_dps.host.url)
    await wait_for_state(4, command)
    await kill(command)

    anew = await start_apply(slow_dps.host.url)
    _, not_ended = await asyncio.wait_for(anew.communicate(), TIMEOUT)
    write_csv(device_rows(ROWS + 1))
    changed = await start_apply(slow_dps.host.url, "--resume", mode="upsert")
    _, other = await asyncio.wait_for(changed.communicate(), TIMEOUT)

    assert (anew.returncode, changed.returncode) == (2, 2)
    assert b"has not ended" in not_ended
    assert b"the file was changed; --mode is different" in other


@asynccontextmanager
async def running_app(dps: DpsStandIn, port: int) -> AsyncIterator[Command]:
    """Runs the app in a process of its own, on a port."""
    settings = {**UNPACED, **_NO_QUEUES, "DPS_CONNECTION_STRING": dps.connection_string}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "local.host", "--app", str(ROOT)),
        *("--port", str(port), "--tls-port", "0"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env=os.environ | settings | {"PYTHONPATH": str(ROOT)},  # noqa: TID251
    )
    try:
        await wait_until_live(f"http://127.0.0.1:{port}")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def wait_until_live(url: str) -> None:
    """Waits until the app responds."""
    async with httpx.AsyncClient() as client, asyncio.timeout(60):
        while True:
            try:
                if (await client.get(f"{url}/health/live")).is_success:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "devices.csv", "--mode", "create"),
        ("apply", "devices.csv", "--mode", "create"),
    ],
    ids=lambda arguments: arguments[0],
)
async def test_no_app(arguments: tuple[str, ...]) -> None:
    """A command ends within seconds if there is no app, names its address and leaves no file."""
    write_csv(device_rows(1))

    command = await start("http://127.0.0.1:1", *arguments)
    _, err = await asyncio.wait_for(command.communicate(), 20)

    assert command.returncode == 3
    assert b"The app at http://127.0.0.1:1 does not respond" in err
    assert await asyncio.to_thread(os.listdir) == ["devices.csv"]


@pytest.mark.long
@pytest.mark.parametrize("kills_command", [False, True])
async def test_the_app_is_restarted(dps: DpsStandIn, *, kills_command: bool) -> None:
    """The app is killed in the middle and started again: each row is done, none is called failed."""
    set_latency(dps)
    write_csv(device_rows(ROWS))
    with reserve_port() as port:
        url = f"http://127.0.0.1:{port}"
        async with running_app(dps, port) as app_process:
            command = await start_apply(url)
            await wait_for_state(9, command)
            app_process.kill()
            if kills_command:
                await kill(command)
        async with running_app(dps, port):
            if kills_command:
                command = await start_apply(url, "--resume")
            report = await report_of(command)
            with httpx.Client(base_url=url) as client:
                records = stored(client)

    assert resumed(report) == (ROWS, 0)
    assert len(records) == ROWS


@pytest.mark.long
@pytest.mark.parametrize("kills_command", [False, True])
async def test_dps_is_unavailable_for_a_minute(
    slow_dps: Stack, app: httpx.Client, set_faults: Callable[..., None], *, kills_command: bool
) -> None:
    """DPS closes every connection for a minute: each row is done, and none is called failed."""
    write_csv(device_rows(ROWS))
    command = await start_apply(slow_dps.host.url, "--keys", "keys.csv")
    await wait_for_state(9, command)

    set_faults({"do": {"resetAfterCommit": True}})
    await asyncio.sleep(30)
    if kills_command:
        await kill(command)
        command = await start_apply(slow_dps.host.url, "--keys", "keys.csv", "--resume")
    await asyncio.sleep(30)
    set_faults()
    report = await report_of(command)

    assert resumed(report) == (ROWS, 0)
    expect_keys(app)


@pytest.mark.long
async def test_everything_at_once(
    slow_dps: Stack, app: httpx.Client, set_faults: Callable[..., None]
) -> None:
    """DPS loses responses and is away, and the command is killed: the outcome is the same."""
    write_csv(device_rows(ROWS))
    set_faults(
        {"match": {"method": "POST"}, "every": 5, "do": {"resetAfterCommit": True}},
        {"match": {"method": "POST"}, "every": 7, "do": {"status": 503}},
        {"match": {"method": "GET"}, "every": 6, "do": {"resetBefore": True}},
    )

    report = await kill_and_resume(slow_dps.host.url, mode="create", at=8)

    set_faults()
    assert resumed(report) == (ROWS, 0)
    assert len(stored(app)) == ROWS
