"""
Custom allocation: which hub a device belongs to, decided by policies.

A policy is a callable that takes an `AllocationRequest` and gives a `Decision`: rules of the
policy file, or your own in Python.
"""

from shared.allocation.decisions import (
    AllocationPolicy,
    Assignment,
    Decision,
    Refusal,
)
from shared.allocation.explaining import Explanation, decide, explain
from shared.allocation.requests import AllocationRequest

__all__ = [
    "AllocationPolicy",
    "AllocationRequest",
    "Assignment",
    "Decision",
    "Explanation",
    "Refusal",
    "decide",
    "explain",
]
