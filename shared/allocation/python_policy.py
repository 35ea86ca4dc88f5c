"""Policies in Python: imported from a module, and checked at every decision."""

import importlib
import inspect
import json
from dataclasses import fields
from typing import cast

from shared.allocation.decision import AllocationPolicy, Assignment, Decision, Refusal
from shared.allocation.request import AllocationRequest


class UnusablePolicyError(ValueError):
    """A Python policy cannot be used; the message follows the policy's JSON Pointer."""


class InvalidDecisionError(Exception):
    """A Python policy ended the process, or decided something that cannot be answered."""


class PythonPolicy:
    """The policy at `module:attribute`; raises `UnusablePolicyError` if there is none."""

    def __init__(self, path: str) -> None:
        self._decide = _import(path)

    def __call__(self, request: AllocationRequest) -> Decision:
        """Returns the decision; raises the policy's own errors, and `InvalidDecisionError`."""
        try:
            decision = self._decide(request)
        except Exception:
            raise
        except BaseException as error:  # sys.exit, for example: it must not end the process
            raise InvalidDecisionError(f"the policy raised {type(error).__name__}") from error
        if isinstance(decision, Assignment | Refusal):
            _check(decision)
        return decision


def _import(path: str) -> AllocationPolicy:
    module, _, attribute = path.partition(":")
    try:
        policy = getattr(importlib.import_module(module), attribute, None)
    # An import runs foreign code, which may raise anything, and call sys.exit.
    except BaseException as error:
        raise UnusablePolicyError(f"cannot be imported: {type(error).__name__}") from error
    if not callable(policy):
        raise UnusablePolicyError("must name a callable of the module")
    if any(map(inspect.iscoroutinefunction, (policy, type(policy).__call__))):
        raise UnusablePolicyError("must not be async: a policy does no I/O")
    return cast(AllocationPolicy, policy)


def _check(decision: Decision) -> None:
    for field in fields(decision):
        try:
            json.dumps(getattr(decision, field.name), allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidDecisionError(f"{field.name} is not JSON: {error}") from error
