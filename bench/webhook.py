# ruff: noqa: E402 - a script, which first says where the app is
"""How many decisions a second the allocation webhook makes: python bench/webhook.py.

A hundred rules, of which the last one matches, against a function that parses the same body and
writes one line of log. Once in this process, which shows what the functions alone cost; and once
in Azure's worker, for which the goal is meant, if AZURE_RUNTIME names a program that runs it:
`PROGRAM APPDIR bench FUNCTION --n N --concurrency C --method POST --body X`, whose last line is
JSON with `per_second`. The exit code is 1 if the goal is missed by more than the spread.
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
from pathlib import Path

import azure.functions as func
from quick import is_quick
from ratio import NotMeasured, Row, Rows, alternating, shown

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from local.host import environment
from local.host.loading import AppFunction, load_functions

BODY = ROOT / "examples" / "allocation-requests" / "default-first-registration.json"
OURS, THEIRS = "allocation_decide", "parse"
RULES = 100
GOAL = 0.6
NAME = "webhook calls, the last of 100 rules"
NOTE = f"ours: {RULES} rules, the last one matches; peer: one parse, one line"
CALLS, ROUNDS = (500, 7) if is_quick() else (1_000, 15)
WORKER_CALLS, WORKER_ROUNDS, CONCURRENCY = (600, 2, 32) if is_quick() else (1_500, 6, 32)
WORKER_WITHIN = 60.0  # seconds for one run

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
    """In this process, and in Azure's worker if there is one."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        policies = directory / "policies.json"
        policies.write_text(json.dumps(many_rules()))
        baseline = directory / "app"
        baseline.mkdir()
        for file in ("host.json", "requirements.txt"):
            (baseline / file).write_text((ROOT / file).read_text())
        (baseline / "function_app.py").write_text(BASELINE)
        with environment.applied({"ALLOCATION_POLICIES_FILE": str(policies)}):
            return [in_process(baseline), in_worker(baseline)]


def many_rules() -> dict[str, object]:
    """Rules such as people write, each with a condition that fails; then one that holds."""
    others = [
        {"name": f"rule {number}", "when": failing(number), "hub": {"hash": {}}}
        for number in range(1, RULES)
    ]
    last = {
        "name": "last",
        "when": {"payload.model": {"equals": "t300"}},
        "hub": {"hash": {"hub-1.azure-devices.net": 3, "hub-3.azure-devices.net": 1}},
        "initialTwin": {"tags": {"region": "${payload.region}"}},
    }
    return {"policies": {"default": {"rules": [*others, last]}}}


def failing(number: int) -> dict[str, object]:
    """By turns: a region, a model with its firmware, a range of ids, a pattern of ids."""
    kinds: tuple[dict[str, object], ...] = (
        {"payload.region": {"in": [f"r{number}", f"s{number}"]}},
        {"payload.model": {"equals": "t300"}, "payload.firmware": {"gte": f"13.{number}"}},
        {"registrationId": {"startsWith": f"thermo-{number:03}"}},
        {"payload.region": {"in": ["de"]}, "registrationId": {"matches": f"hp-{number}[0-9]*"}},
    )
    return kinds[number % len(kinds)]


def in_process(baseline: Path) -> Row:
    """Calls of the functions themselves, with the request that the worker would make of a body."""
    with logs_to_nowhere():
        ours, theirs = function(ROOT, OURS), function(baseline, THEIRS)
        rates = alternating(ROUNDS, lambda: rate(ours), lambda: rate(theirs))
    return Row(name=f"{NAME}, the functions alone", unit="1/s", ours=rates[0], theirs=rates[1])


def in_worker(baseline: Path) -> Row | NotMeasured:
    """The same through Azure's worker; why not, if it cannot be measured."""
    program = environment.setting("AZURE_RUNTIME")
    if program is None:
        why = "AZURE_RUNTIME names no program"
        return NotMeasured(name=f"{NAME}, in Azure's worker", goal=f">= {GOAL}", why=why)
    rates = alternating(
        WORKER_ROUNDS,
        lambda: worker_rate(program, ROOT, OURS),
        lambda: worker_rate(program, baseline, THEIRS),
    )
    return Row(
        name=f"{NAME}, in Azure's worker", unit="1/s", ours=rates[0], theirs=rates[1], at_least=GOAL
    )


def function(app_dir: Path, name: str) -> AppFunction:
    """One function of an app."""
    return next(found for found in load_functions(app_dir) if found.name == name)


def rate(called: AppFunction) -> float:
    """Calls a second, one after the other, each of them answered with 200."""
    return asyncio.run(_rate(called, BODY.read_bytes()))


async def _rate(called: AppFunction, body: bytes) -> float:
    began = time.perf_counter()
    for _ in range(CALLS):
        request = func.HttpRequest(method="POST", url="/allocation", body=body)
        reply = await called.call(request)
        if reply.status_code != 200:  # noqa: PLR2004 - what DPS takes for a decision
            raise RuntimeError(f"{called.name} answers {reply.status_code}")
    return CALLS / (time.perf_counter() - began)


def worker_rate(program: str, app_dir: Path, name: str) -> float:
    """Calls a second through the worker."""
    counts = ["--n", str(WORKER_CALLS), "--concurrency", str(CONCURRENCY)]
    ran = subprocess.run(  # noqa: S603 - the program that whoever runs this has named
        [
            program,
            str(app_dir),
            "bench",
            name,
            *counts,
            "--method",
            "POST",
            "--body",
            BODY.read_text(),
        ],
        capture_output=True,
        text=True,
        timeout=WORKER_WITHIN,
        check=True,
    )
    return float(json.loads(ran.stdout.splitlines()[-1])["per_second"])


@contextmanager
def logs_to_nowhere() -> Iterator[None]:
    """Lines are written, with the app's own formatter and the baseline's, but nobody reads them."""
    root, theirs = logging.getLogger(), logging.getLogger("bench.parse")
    with Path(os.devnull).open("w") as nowhere:
        root.addHandler(logging.StreamHandler(nowhere))
        root.setLevel(logging.INFO)
        theirs.addHandler(logging.StreamHandler(nowhere))
        theirs.propagate = False
        yield
        root.handlers.clear()
        theirs.handlers.clear()


if __name__ == "__main__":
    sys.exit(shown(rows(), NOTE))
