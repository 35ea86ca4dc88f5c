"""The rule engine: which rule decides, and which hub it assigns."""

from typing import Any

import pytest

from shared.allocation import Assignment, Refusal
from shared.errors import NoHubError
from tests.shared.allocation.samples import (
    HUB_1,
    HUB_2,
    HUB_3,
    HUB_4,
    assign,
    decide_for,
    make_policy,
)

GONE = "gone.azure-devices.net"


def test_first_matching_rule_decides() -> None:
    """Rules after it are not evaluated."""
    decision = assign(make_policy({"name": "a", "hub": HUB_2}, {"name": "b", "hub": HUB_1}))

    assert (decision.hub, decision.rule) == (HUB_2, "a")


@pytest.mark.parametrize(
    "hub",
    [GONE, {"keep": True}, {"hash": {GONE: 1}}, {"hash": {HUB_1: 0, GONE: 1}}, {"hash": {"*": 0}}],
    ids=str,
)
def test_rule_without_a_hub_is_skipped(hub: Any) -> None:
    """If the hub of a rule is not linked or is drained, the next rule decides."""
    decision = assign(make_policy({"hub": hub}, {"name": "next", "hub": HUB_3}))

    assert (decision.hub, decision.rule) == (HUB_3, "next")


def test_keep_assigns_the_current_hub() -> None:
    """`keep` assigns the hub the device has."""
    decision = assign(make_policy({"hub": {"keep": True}}), currentIotHubHostName=HUB_4.upper())

    assert decision.hub == HUB_4


def test_keep_of_an_unlinked_hub_is_skipped() -> None:
    """A hub that DPS no longer offers cannot be kept."""
    policy = make_policy({"hub": {"keep": True}}, otherwise={"hub": HUB_1})

    decision = assign(policy, currentIotHubHostName=GONE)

    assert (decision.hub, decision.rule) == (HUB_1, "otherwise")


@pytest.mark.parametrize("hub", [HUB_1, GONE, {"hash": {HUB_1: 1}}, {"hash": {HUB_2: 0}}], ids=str)
def test_only_linked_hub_is_kept(hub: Any) -> None:
    """With the reprovision policy "never", any matching rule keeps the hub; its payload is sent."""
    decision = assign(
        make_policy({"name": "moves", "hub": hub, "payload": {"tier": 1}}),
        hubs=(HUB_2,),
        currentIotHubHostName=HUB_2,
    )

    assert (decision.hub, decision.rule, decision.payload) == (HUB_2, "moves", {"tier": 1})


def test_only_linked_hub_is_kept_if_no_rule_matches() -> None:
    """A device that must not move stays, even if no rule matches."""
    policy = make_policy({"when": {"payload.x": {"exists": True}}, "hub": HUB_1})

    assert assign(policy, hubs=(HUB_2,), currentIotHubHostName=HUB_2).hub == HUB_2


def test_only_linked_hub_is_not_assigned_to_a_new_device() -> None:
    """A new device gets the hub of a rule or none, even if only one hub is linked."""
    with pytest.raises(NoHubError):
        decide_for(make_policy({"hub": HUB_1}), hubs=(HUB_2,))


@pytest.mark.parametrize("hubs", [(), (GONE,)])
def test_without_any_candidate_there_is_no_hub(hubs: tuple[str, ...]) -> None:
    """If no rule has a linked hub, the result is an error and never another hub."""
    policy = make_policy({"hub": HUB_1}, otherwise={"hub": {"hash": {HUB_2: 1}}})

    with pytest.raises(NoHubError):
        decide_for(policy, hubs=hubs)


def test_reject_refuses_with_its_reason() -> None:
    """`reject` decides even about a device that has a hub."""
    decision = decide_for(
        make_policy({"name": "no", "reject": "stolen"}), currentIotHubHostName=HUB_1
    )

    assert decision == Refusal(reason="stolen", rule="no")


def test_otherwise_may_reject() -> None:
    """An allow-list ends with a refusal."""
    pilot = make_policy(
        {"when": {"registrationId": {"in": ["dev-1"]}}, "hub": HUB_1},
        otherwise={"reject": "not on the list"},
    )

    assert isinstance(decide_for(pilot, registrationId="dev-1"), Assignment)
    assert isinstance(decide_for(pilot, registrationId="dev-2"), Refusal)


def test_star_is_every_hub_that_is_not_named() -> None:
    """Hubs can be drained without naming the others."""
    policy = make_policy({"hub": {"hash": {"*": 1, HUB_1: 0, HUB_2: 0, HUB_3: 0}}})

    assert {assign(policy, registrationId=f"dev-{n}").hub for n in range(20)} == {HUB_4}
