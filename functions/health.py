"""HTTP routes of the health checks: liveness of the worker, readiness of the app."""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from itertools import chain
from typing import Any

import azure.functions as func

from functions.http.responses import json_response, with_error_responses
from functions.runtime import messaging, policies, services
from shared.error_catalog import code_for, entry_for
from shared.errors import AppError, NotConfiguredError, PolicyFileError
from shared.settings import (
    QUEUE_FUNCTIONS,
    SharedAccessSettings,
    are_disabled,
    public_routes_auth_level,
)

_METHODS = ["GET", "HEAD"]
"""Load balancers may probe with HEAD: Azure Front Door does by default."""

blueprint = func.Blueprint()


@blueprint.function_name("health_live")
@blueprint.route(
    "health/live",
    methods=_METHODS,
    auth_level=func.AuthLevel[public_routes_auth_level().upper()],
)
@with_error_responses
async def live(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001  the worker passes it
    """Returns 200 if the worker runs."""
    return json_response({"status": "live"})


@blueprint.function_name("health_ready")
@blueprint.route("health/ready", methods=_METHODS)
@with_error_responses
async def ready(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001  the worker passes it
    """
    Returns 200, or 503 with the faults of settings, policy file, DPS and queues, and their remedies.

    Either has the state of the rate limiter.
    """
    errors = await asyncio.gather(_dps_errors(), _queue_errors(), _policy_errors())
    faults = [fault for error in chain(*errors, _access_errors()) for fault in _to_faults(error)]
    if faults:
        return json_response(
            {"status": "not ready", "faults": faults, **_rate_limiter_status()},
            status=HTTPStatus.SERVICE_UNAVAILABLE,
        )
    return json_response({"status": "ready", **_rate_limiter_status()})


def _rate_limiter_status() -> dict[str, Any]:
    try:
        status = services().dps.rate_limiter_status
    except NotConfiguredError:
        return {}
    return {
        "pacing": {
            "operationsPerMinute": round(status.operations_per_minute),
            "waiting": status.waiting,
            "throttled": status.throttled,
        }
    }


async def _dps_errors() -> Sequence[AppError]:
    try:
        return await services().readiness.errors()
    except NotConfiguredError as error:
        return [error]


async def _queue_errors() -> Sequence[AppError]:
    try:
        current = messaging()
    except NotConfiguredError as error:
        # In an app without queues their functions are disabled.
        return [] if are_disabled(QUEUE_FUNCTIONS) else [error]
    return [current.settings_fault] if current.settings_fault else await current.readiness.errors()


async def _policy_errors() -> Sequence[AppError]:
    try:
        await policies()
    except PolicyFileError as error:
        return [error]
    return []


def _access_errors() -> Sequence[AppError]:
    _, fault = SharedAccessSettings.read_with_defaults()
    return [fault] if fault else []


def _to_faults(error: AppError) -> list[dict[str, Any]]:
    if isinstance(error, NotConfiguredError):
        return [{"setting": name, "fault": fault} for name, fault in error.faults.items()]
    remedy = error.remedy or entry_for(error).remedy
    return [{"errorCode": code_for(error), "fault": str(error), "cure": remedy}]
