"""Health checks, and calls without a valid function key."""

from functools import partial

from local.demo.checks import expect, expect_document
from local.demo.context import DemoContext
from local.demo.steps import Client, Step


def steps(demo: DemoContext) -> list[Step]:
    """Returns the steps that need no record."""
    return [
        Step(Client.HTTP, "GET health/live without a key", partial(_get_live, demo)),
        Step(Client.HTTP, "GET health/ready", partial(_get_ready, demo)),
        Step(Client.HTTP, "PUT an enrollment without a key", partial(_put, demo, {})),
        Step(
            Client.HTTP,
            "PUT an enrollment with a wrong key",
            partial(_put, demo, {"x-functions-key": "wrong"}),
        ),
    ]


def _get_live(demo: DemoContext) -> str:
    expect("status", expect_document(demo.anonymous.get("/health/live"))["status"], "live")
    return "live"


def _get_ready(demo: DemoContext) -> str:
    expect("status", expect_document(demo.http.get("/health/ready"))["status"], "ready")
    return "ready: settings valid, DPS reachable"


def _put(demo: DemoContext, headers: dict[str, str]) -> str:
    example = demo.examples.enrollments[0].document
    before = demo.dps_calls()
    path = f"/enrollments/{example['registrationId']}"
    expect_document(demo.anonymous.put(path, json=example, headers=headers), 401)
    expect("calls to DPS", demo.dps_calls() - before, 0)
    return "HTTP 401, no call to DPS"
