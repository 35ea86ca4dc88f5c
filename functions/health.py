"""HTTP routes of the health checks: liveness of the worker, readiness of the app."""

from http import HTTPStatus
from typing import Any

import azure.functions as func

from functions.http.responses import json_response, with_error_responses
from functions.runtime import messaging, policies, services
from shared.error_catalog import code_for, entry_for
from shared.errors import AppError, NotConfiguredError, PolicyFileError
from shared.settings import SharedAccessSettings, are_disabled, public_routes_auth_level

_QUEUE_FUNCTIONS = ("enrollment_requests", "bulk_operations")

blueprint = func.Blueprint()


@blueprint.function_name("health_live")
@blueprint.route(
    "health/live",
    methods=["GET"],
    auth_level=func.AuthLevel[public_routes_auth_level().upper()],
)
@with_error_responses
async def live(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001  the worker passes it
    """Returns 200 if the worker runs."""
    return json_response({"status": "live"})


@blueprint.function_name("health_ready")
@blueprint.route("health/ready", methods=["GET"])
@with_error_responses
async def ready(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001  the worker passes it
    """
    Returns 200 if settings, policies and DPS have no fault, else 503 with all faults and remedies.

    Both have the state of the rate limiter.
    """
    errors = [await _dps_error(), _queues_error(), _policies_error(), _access_error()]
    faults = [fault for error in errors if error for fault in _to_faults(error)]
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


async def _dps_error() -> AppError | None:
    try:
        return await services().readiness.error()
    except NotConfiguredError as error:
        return error


def _queues_error() -> AppError | None:
    try:
        return messaging().settings_fault
    except NotConfiguredError as error:
        # In an app without queues their functions are disabled.
        return None if are_disabled(_QUEUE_FUNCTIONS) else error


def _policies_error() -> AppError | None:
    try:
        policies()
    except PolicyFileError as error:
        return error
    return None


def _access_error() -> AppError | None:
    _, fault = SharedAccessSettings.read_with_defaults()
    return fault


def _to_faults(error: AppError) -> list[dict[str, Any]]:
    if isinstance(error, NotConfiguredError):
        return [{"setting": name, "fault": fault} for name, fault in error.faults.items()]
    entry = entry_for(error)
    return [{"errorCode": code_for(error), "fault": str(error), "cure": entry.remedy}]
