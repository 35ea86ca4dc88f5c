"""The built-in policies, loaded as the policy file names them."""

import pytest

from shared.allocation import AllocationPolicy
from shared.allocation.policy_file.load import parse_policies
from shared.errors import NoHubError
from tests.shared.allocation.samples import HUB_1, HUB_2, HUB_3, HUBS, assign, decide_for


def built_in(name: str) -> AllocationPolicy:
    """Returns a built-in policy."""
    file = b'{"policies": {"p": {"python": "shared.allocation.policies:%s"}}}' % name.encode()
    return parse_policies(file).get("p")


@pytest.mark.parametrize("name", ["hashed", "sticky"])
def test_new_devices_are_distributed_over_the_linked_hubs(name: str) -> None:
    """Both policies use all linked hubs and no others."""
    policy = built_in(name)

    hubs = {assign(policy, registrationId=f"dev-{n}", hubs=HUBS[:2]).hub for n in range(40)}

    assert hubs == {HUB_1, HUB_2}


def test_sticky_keeps_the_current_hub() -> None:
    """`sticky` keeps a device on its hub while that is linked."""
    policy = built_in("sticky")

    hubs = {
        assign(policy, registrationId=f"dev-{n}", currentIotHubHostName=HUB_3).hub
        for n in range(20)
    }

    assert hubs == {HUB_3}


@pytest.mark.parametrize("name", ["hashed", "sticky"])
def test_without_linked_hubs_there_is_no_hub(name: str) -> None:
    """No linked hub is an error, not an empty answer."""
    with pytest.raises(NoHubError):
        decide_for(built_in(name), hubs=())
