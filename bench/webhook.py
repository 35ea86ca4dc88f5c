"""
Calls per second of the allocation webhook: python bench/webhook.py.

A policy of a hundred rules of which the last one matches. The peer is a function that parses the same
body and logs one line. Measured by calling the functions in this process; and, for the goal, in
Azure's worker, if AZURE_RUNTIME names a program that runs an app in it:
`PROGRAM APPDIR bench FUNCTION --n N --concurrency C --method POST --body X`, whose last line of output
is JSON with `per_second`. The exit code is 1 if the goal is missed by more than the spread.
"""

import asyncio
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import azure.functions as func
from harness import ROOT, is_quick
from table import NotMeasured, Row, Rows, measure_alternately, print_table

from local.host import environment
from local.host.app import AppFunction, load_functions

BODY = ROOT / "examples" / "allocation-requests" / "default-first-registration.json"
OURS, THEIRS = "allocation_decide", "parse"
RULES = 100
GOAL = 0.6
NAME = f"webhook calls, last of {RULES} rules matches"
NOTE = "peer: parses the body and logs one line"
CALLS, ROUNDS = (500, 7) if is_quick() else (1_000, 15)
WORKER_CALLS, WORKER_ROUNDS, CONCURRENCY = (600, 2, 32) if is_quick() else (1_500, 6, 32)
WORKER_TIMEOUT = 60.0  # seconds for one run

BASELINE = """import json
import logging

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
log = logging.getLogger("bench.parse")


@app.function_name("parse")
@app.route("parse", methods=["POST"])
async def parse(req: func.HttpRequest) -> func.HttpResponse:
    body = json.loads(req.get_body())
    hub = body["linkedHubs"][0]
    log.info("%s goes to %s", body["deviceRuntimeContext"]["registrationId"], hub)
    return func.HttpResponse(json.dumps({"iotHubHostName": hub}), mimetype="application/json")
"""


def rows() -> Rows:
    """Returns two rows: in this process, and in Azure's worker if there is one."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        policies = directory / "policies.json"
        policies.write_text(json.dumps(create_policies()))
        baseline = directory / "app"
        baseline.mkdir()
        for file in ("host.json", "requirements.txt"):
            (baseline / file).write_text((ROOT / file).read_text())
        (baseline / "function_app.py").write_text(BASELINE)
        with environment.applied({"ALLOCATION_POLICIES_FILE": str(policies)}):
            return [measure_in_process(baseline), measure_in_worker(baseline)]


def create_policies() -> dict[str, object]:
    """Returns a policy file whose typical rules all fail to match, except the last."""
    others = [
        {"name": f"rule {number}", "when": create_condition(number), "hub": {"hash": {}}}
        for number in range(1, RULES)
    ]
    last = {
        "name": "last",
        "when": {"payload.model": {"equals": "t300"}},
        "hub": {"hash": {"hub-1.azure-devices.net": 3, "hub-3.azure-devices.net": 1}},
        "initialTwin": {"tags": {"region": "${payload.region}"}},
    }
    return {"policies": {"default": {"rules": [*others, last]}}}


def create_condition(number: int) -> dict[str, object]:
    """Returns a condition that does not hold: on region, model, firmware, id prefix or pattern."""
    kinds: tuple[dict[str, object], ...] = (
        {"payload.region": {"in": [f"r{number}", f"s{number}"]}},
        {"payload.model": {"equals": "t300"}, "payload.firmware": {"gte": f"13.{number}"}},
        {"registrationId": {"startsWith": f"thermo-{number:03}"}},
        {"payload.region": {"in": ["de"]}, "registrationId": {"matches": f"hp-{number}[0-9]*"}},
    )
    return kinds[number % len(kinds)]


def measure_in_process(baseline: Path) -> Row:
    """Calls the functions themselves, with requests as the worker makes them."""
    with discard_logs():
        ours, theirs = load_function(ROOT, OURS), load_function(baseline, THEIRS)
        rates = measure_alternately(ROUNDS, lambda: rate(ours), lambda: rate(theirs))
    return Row(name=f"{NAME}, without the worker", unit="1/s", ours=rates[0], theirs=rates[1])


def measure_in_worker(baseline: Path) -> Row | NotMeasured:
    """Calls the functions through Azure's worker, if AZURE_RUNTIME names a program for that."""
    program = environment.setting("AZURE_RUNTIME")
    if program is None:
        why = "AZURE_RUNTIME names no program"
        return NotMeasured(name=f"{NAME}, in Azure's worker", goal=f">= {GOAL}", why=why)
    rates = measure_alternately(
        WORKER_ROUNDS,
        lambda: worker_rate(program, ROOT, OURS),
        lambda: worker_rate(program, baseline, THEIRS),
    )
    return Row(
        name=f"{NAME}, in Azure's worker", unit="1/s", ours=rates[0], theirs=rates[1], at_least=GOAL
    )


def load_function(app_dir: Path, name: str) -> AppFunction:
    """Returns the function of that name of an app."""
    return next(function for function in load_functions(app_dir) if function.name == name)


def rate(function: AppFunction) -> float:
    """Returns the calls per second when made one after the other; raises if one is not 200."""
    return asyncio.run(_rate(function, BODY.read_bytes()))


async def _rate(function: AppFunction, body: bytes) -> float:
    started = time.perf_counter()
    for _ in range(CALLS):
        request = func.HttpRequest(method="POST", url="/allocation", body=body)
        reply = await function.call(request)
        if reply.status_code != HTTPStatus.OK:
            raise RuntimeError(f"{function.name} returned {reply.status_code}")
    return CALLS / (time.perf_counter() - started)


def worker_rate(program: str, app_dir: Path, name: str) -> float:
    """Returns the calls per second through the worker."""
    counts = ["--n", str(WORKER_CALLS), "--concurrency", str(CONCURRENCY)]
    request = ["--method", "POST", "--body", BODY.read_text()]
    ran = subprocess.run(  # noqa: S603  the program that the caller named
        [program, str(app_dir), "bench", name, *counts, *request],
        capture_output=True,
        text=True,
        timeout=WORKER_TIMEOUT,
        check=True,
    )
    return float(json.loads(ran.stdout.splitlines()[-1])["per_second"])


@contextmanager
def discard_logs() -> Iterator[None]:
    """Lets both apps format and write their log lines, to the null device."""
    root, theirs = logging.getLogger(), logging.getLogger("bench.parse")
    with Path(os.devnull).open("w") as null:
        root.addHandler(logging.StreamHandler(null))
        root.setLevel(logging.INFO)
        theirs.addHandler(logging.StreamHandler(null))
        theirs.propagate = False
        yield
        root.handlers.clear()
        theirs.handlers.clear()


if __name__ == "__main__":
    sys.exit(print_table(rows(), NOTE))
