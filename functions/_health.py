"""Whether the worker lives, and whether the app can do its work."""

from http import HTTPStatus
from typing import Any

import azure.functions as func

from functions import _allocation, _replies
from functions._outcomes import code_of, outcome_of
from functions._services import queues, services
from shared.errors import AppError, NotConfiguredError
from shared.settings import are_off

_OF_QUEUES = ("enrollment_requests", "bulk_operations")


def live() -> func.HttpResponse:
    """The worker answers."""
    return _replies.document({"status": "live"})


async def ready() -> func.HttpResponse:
    """
    200 if settings, policies and DPS are well; otherwise 503, each fault with its cure.

    Either way how this process stands to DPS's quota, once it has called DPS.
    """
    found = [await _of_dps(), _of_queues(), _allocation.fault()]
    faults = [words for fault in found if fault for words in _in_words(fault)]
    if faults:
        return _replies.document(
            {"status": "not ready", "faults": faults, **_pacing()},
            status=HTTPStatus.SERVICE_UNAVAILABLE,
        )
    return _replies.document({"status": "ready", **_pacing()})


def _pacing() -> dict[str, Any]:
    try:
        pacing = services().dps.pacing
    except NotConfiguredError:
        return {}
    rate = round(pacing.operations_per_minute)
    return {
        "pacing": {
            "operationsPerMinute": rate,
            "waiting": pacing.waiting,
            "throttled": pacing.throttled,
        }
    }


async def _of_dps() -> AppError | None:
    try:
        return await services().readiness.fault()
    except NotConfiguredError as error:
        return error


def _of_queues() -> AppError | None:
    try:
        return queues().fault
    except NotConfiguredError as error:
        # Who has no queues switches their functions off.
        return None if are_off(_OF_QUEUES) else error


def _in_words(fault: AppError) -> list[dict[str, Any]]:
    if isinstance(fault, NotConfiguredError):
        return [{"setting": name, "fault": words} for name, words in fault.faults.items()]
    return [{"errorCode": code_of(fault), "fault": str(fault), "cure": outcome_of(fault).cure}]
