"""
Custom allocation: policies that choose the IoT hub of a device.

A policy is a callable that takes an `AllocationRequest` and returns a `Decision`. It comes from
the rules of the policy file, or is your own Python function.
"""

from shared.allocation.decision import AllocationPolicy, Assignment, Decision, Refusal, decide
from shared.allocation.explain import Explanation, explain
from shared.allocation.request import AllocationRequest
