"""`decide`: DPS gets one of the hubs that it offered, or an error."""

from typing import Any

import pytest

from shared.allocation import AllocationRequest, Assignment, decide
from shared.errors import NoHubError
from tests.shared.allocation.samples import HUB_2, assign, make_policy, make_request


def test_hub_has_the_spelling_of_dps() -> None:
    """A rule may write a hub in capitals; the answer has DPS's spelling."""
    assert assign(make_policy({"hub": HUB_2.upper()})).hub == HUB_2


def test_hub_that_is_not_linked_is_no_hub() -> None:
    """A Python policy cannot assign a hub that DPS did not offer."""

    def policy(_: AllocationRequest) -> Assignment:
        return Assignment(hub="gone.azure-devices.net")

    with pytest.raises(NoHubError):
        decide(policy, make_request())


def test_policy_must_return_a_decision() -> None:
    """A policy that returns nothing is a bug, not a refusal."""

    def policy(_: AllocationRequest) -> Any:
        return None

    with pytest.raises(TypeError, match="Assignment or a Refusal"):
        decide(policy, make_request())
