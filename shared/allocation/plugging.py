"""The one door through which a policy in Python comes in, built in or your own."""

import importlib
import inspect
from typing import cast

from shared.allocation.decisions import AllocationPolicy


class UnusablePolicyError(ValueError):
    """What is wrong with a policy in Python, as the rest of a sentence that begins with it."""


def load(path: str) -> AllocationPolicy:
    """The policy at `module:attribute`; raises `UnusablePolicyError`."""
    module, _, attribute = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except Exception as error:  # whatever the module does wrong, this file names it
        raise UnusablePolicyError(f"cannot be imported: {type(error).__name__}") from error
    if not callable(found):
        raise UnusablePolicyError("is nothing that can be called")
    if any(map(inspect.iscoroutinefunction, (found, type(found).__call__))):
        raise UnusablePolicyError("must not be async: a decision waits for nothing")
    return cast(AllocationPolicy, found)
