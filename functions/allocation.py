"""
The custom-allocation webhook for DPS, and explanations of its answers.

A device waits for the answer, so nothing here uses the network. `shared.allocation` is imported on
first use: many workers never get such a request.
https://learn.microsoft.com/azure/iot-dps/concepts-custom-allocation
"""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from itertools import islice
from typing import TYPE_CHECKING, Any

import azure.functions as func

from functions.http.bodies import read_body
from functions.http.responses import json_response, with_error_responses
from functions.runtime import policies
from shared.error_catalog import code_for, entry_for
from shared.errors import AppError, DeviceRefusedError, InvalidRequestError, NotConfiguredError
from shared.json_documents import parse_in_thread

if TYPE_CHECKING:
    from shared.allocation import AllocationRequest, Decision

MAX_LOGGED_FAULTS = 20
"""How many faults of one request are logged."""
MAX_LOGGED_ID = 128
"""How many characters of a registration id are logged; DPS allows no more."""

_LOG = logging.getLogger(__name__)

blueprint = func.Blueprint()


@blueprint.function_name("allocation_decide")
@blueprint.route("allocation", methods=["POST"])
@with_error_responses
async def decide(req: func.HttpRequest) -> func.HttpResponse:
    """Assigns a device to a hub by the policy `default`."""
    return await _decide(req)


@blueprint.function_name("allocation_decide_by_policy")
@blueprint.route("allocation/{policy}", methods=["POST"])
@with_error_responses
async def decide_by_policy(req: func.HttpRequest) -> func.HttpResponse:
    """Assigns a device to a hub by the named policy."""
    return await _decide(req)


@blueprint.function_name("allocation_explain")
@blueprint.route("allocation/{policy}/explain", methods=["POST"])
@with_error_responses
async def explain(req: func.HttpRequest) -> func.HttpResponse:
    """Returns what the webhook would answer and why, and what DPS would do."""
    return await _explain(req)


async def _decide(req: func.HttpRequest) -> func.HttpResponse:
    """Returns the answer for DPS, and logs the decision."""
    from shared import allocation

    name = _policy_name(req)
    with _logged(policy=name) as entry:
        loaded = await policies()
        entry["version"] = loaded.version
        policy = loaded.get(name)
        request = await _parse(req)
        entry["registrationId"] = request.registration_id[:MAX_LOGGED_ID]
        decision = allocation.decide(policy, request)
        entry["rule"] = decision.rule
        if isinstance(decision, allocation.Refusal):
            raise DeviceRefusedError(decision.reason)
        entry["hub"] = decision.hub
        return json_response(decision.body)


async def _explain(req: func.HttpRequest) -> func.HttpResponse:
    """Returns what the webhook would answer and why, and what DPS would do; logs no decision."""
    from shared import allocation

    name = _policy_name(req)
    loaded = await policies()
    policy = loaded.get(name)
    request = await _parse(req)
    explanation = allocation.explain(policy, request)
    warnings = [
        {"place": warning.pointer, "warning": str(warning)} for warning in loaded.warnings_for(name)
    ]
    return json_response(
        {"policy": name, "version": loaded.version}
        | _describe_outcome(explanation.outcome, request)
        | {"rules": explanation.rules, "warnings": warnings}
    )


async def _parse(req: func.HttpRequest) -> "AllocationRequest":
    from shared.allocation import AllocationRequest

    body = read_body(req)
    return await parse_in_thread(body, partial(AllocationRequest.parse, body))


def _policy_name(req: func.HttpRequest) -> str:
    return str(req.route_params.get("policy", "default")).lower()


def _describe_outcome(
    outcome: "Decision | AppError", request: "AllocationRequest"
) -> dict[str, Any]:
    from shared.allocation import Assignment, Refusal
    from shared.allocation.explain import describe_assignment, describe_failure

    rule = {} if isinstance(outcome, AppError) else {"rule": outcome.rule}
    if isinstance(outcome, Assignment):
        answer: dict[str, Any] = {"status": HTTPStatus.OK, "body": outcome.body}
        return rule | {"answer": answer, "dps": describe_assignment(outcome, request)}
    error = DeviceRefusedError(outcome.reason) if isinstance(outcome, Refusal) else outcome
    status = entry_for(error).status
    answer = {"status": status, "errorCode": code_for(error), "message": str(error)}
    return rule | {"answer": answer, "dps": describe_failure(status)}


# The decision log. It is the only record of the reason, which DPS does not pass on to the device.


@contextmanager
def _logged(**entry: Any) -> Iterator[dict[str, Any]]:
    """
    Provides a log entry to fill in, and logs it as JSON with status and duration in any case.

    An entry must not contain payloads, twins or keys.
    """
    started = time.perf_counter()
    entry = {"event": "allocation", **entry}
    level = logging.INFO
    try:
        yield entry
        entry["status"] = HTTPStatus.OK
    except Exception as error:
        entry |= _describe_error(error)
        is_our_fault = entry["status"] >= HTTPStatus.INTERNAL_SERVER_ERROR
        level = logging.ERROR if is_our_fault else logging.WARNING
        raise
    finally:
        entry["milliseconds"] = round((time.perf_counter() - started) * 1000, 3)
        _LOG.log(level, "%s", json.dumps(entry))


def _describe_error(error: Exception) -> dict[str, Any]:
    # An unexpected error's text may contain anything; `with_error_responses` logs it with its traceback.
    reason = str(error) if isinstance(error, AppError) else type(error).__name__
    entry = {"status": entry_for(error).status, "reason": reason}
    if isinstance(error, InvalidRequestError | NotConfiguredError):
        entry["faults"] = dict(islice(error.faults.items(), MAX_LOGGED_FAULTS))
    return entry
