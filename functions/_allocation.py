"""
Custom allocation over HTTP. A device waits for the answer: nothing here asks over a network.

`shared.allocation` is imported on first use: a worker that DPS never asks starts without it.
"""

import logging
import time
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import azure.functions as func

from functions import _replies
from functions._decision_log import logged
from functions._outcomes import code_of, outcome_of
from shared.errors import AppError, DeviceRefusedError, PolicyFileError
from shared.settings import PoliciesFile, allocation_policies_file

if TYPE_CHECKING:
    from shared.allocation import AllocationRequest, Decision
    from shared.allocation.files import Policies

ROOT = Path(__file__).resolve().parent.parent
"""The app's own folder: a relative name of the policy file begins here."""

_LOG = logging.getLogger(__name__)
# Seconds: the file may have megabytes, and DPS asks often while it gets no answer.
_READ_AGAIN_AFTER = 5.0
_MAX_ID = 128  # what DPS allows; a line of the log holds no more


def policies() -> "Policies":
    """
    Those of the file that the settings name.

    Raises `PolicyFileError` while the file is missing or wrong; once right they are kept.
    """
    file = allocation_policies_file()
    failed = _failed.get(file)
    if failed and failed.is_as_it_was(file):
        raise PolicyFileError(failed.faults)
    stamp = _stamp(file)
    try:
        return _read(file)
    except PolicyFileError as error:
        _failed[file] = _Failed(error.faults, stamp, time.monotonic())
        raise


class _Failed(NamedTuple):
    """What was wrong with a file, and when."""

    faults: Mapping[str, str]
    stamp: tuple[int, int] | None
    at: float

    def is_as_it_was(self, file: PoliciesFile) -> bool:
        """Whether it need not be read again: a module that it names may have been mended instead."""
        return time.monotonic() < self.at + _READ_AGAIN_AFTER and self.stamp == _stamp(file)


_failed: dict[PoliciesFile, _Failed] = {}


def _stamp(file: PoliciesFile) -> tuple[int, int] | None:
    try:
        found = (ROOT / file.name).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


@cache
def _read(file: PoliciesFile) -> "Policies":
    from shared.allocation import files  # noqa: PLC0415

    found = files.read(ROOT / file.name, must_exist=file.is_named)
    for warning in found.warnings:
        _LOG.warning("allocation policies, %s: %s", warning.place, warning)
    return found


def fault() -> PolicyFileError | None:
    """What is wrong with the policy file; `None` if nothing is."""
    try:
        policies()
    except PolicyFileError as error:
        return error
    return None


def decide(req: func.HttpRequest) -> func.HttpResponse:
    """The answer that DPS waits for; one line of the log says what it is."""
    from shared import allocation  # noqa: PLC0415

    name = _policy_name(req)
    with logged(policy=name) as line:
        found = policies()
        line["version"] = found.version
        policy = found.named(name)
        request = allocation.AllocationRequest.parse(req.get_body())
        line["registrationId"] = request.registration_id[:_MAX_ID]
        decision = allocation.decide(policy, request)
        line["rule"] = decision.rule
        if isinstance(decision, allocation.Refusal):
            raise DeviceRefusedError(decision.reason)
        line["hub"] = decision.hub
        return _replies.document(decision.body)


def explain(req: func.HttpRequest) -> func.HttpResponse:
    """What `decide` would answer, why, and what DPS would make of it; nothing is logged as done."""
    from shared import allocation  # noqa: PLC0415

    name = _policy_name(req)
    found = policies()
    policy = found.named(name)
    request = allocation.AllocationRequest.parse(req.get_body())
    explanation = allocation.explain(policy, request)
    warnings = [{"place": odd.place, "warning": str(odd)} for odd in found.warnings_of(name)]
    return _replies.document(
        {"policy": name, "version": found.version}
        | _answer(explanation.outcome, request)
        | {"rules": explanation.rules, "warnings": warnings}
    )


def _policy_name(req: func.HttpRequest) -> str:
    return str(req.route_params.get("policy", "default")).lower()


def _answer(outcome: "Decision | AppError", request: "AllocationRequest") -> dict[str, Any]:
    from shared.allocation import Assignment, Refusal, consequences  # noqa: PLC0415

    rule = {} if isinstance(outcome, AppError) else {"rule": outcome.rule}
    if isinstance(outcome, Assignment):
        answer: dict[str, Any] = {"status": HTTPStatus.OK, "body": outcome.body}
        return rule | {"answer": answer, "dps": consequences.of_assignment(outcome, request)}
    error = DeviceRefusedError(outcome.reason) if isinstance(outcome, Refusal) else outcome
    status = outcome_of(error).status
    answer = {"status": status, "errorCode": code_of(error), "message": str(error)}
    return rule | {"answer": answer, "dps": consequences.of_failure(status)}
