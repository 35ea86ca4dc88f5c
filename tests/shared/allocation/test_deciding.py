"""Deciding: which rule, which hub, and what is never answered."""

import pytest

from shared.allocation import (
    AllocationPolicy,
    AllocationRequest,
    Assignment,
    Refusal,
    decide,
)
from shared.allocation.files import parsed
from shared.errors import NoHubError
from tests.shared.allocation.asking import HUB_1, HUB_2, HUB_3, HUB_4, HUBS, asked, decision, policy

GONE = "gone.azure-devices.net"


def test_first_rule_that_matches_decides():
    """Later rules are not asked."""
    found = decision(policy({"name": "a", "hub": HUB_2}, {"name": "b", "hub": HUB_1}))

    assert (found.hub, found.rule) == (HUB_2, "a")


def test_hub_is_answered_as_dps_spells_it():
    """A rule may write a hub in capitals; DPS is answered with its own spelling."""
    assert decision(policy({"hub": HUB_2.upper()})).hub == HUB_2


@pytest.mark.parametrize(
    "hub",
    [GONE, {"keep": True}, {"hash": {GONE: 1}}, {"hash": {HUB_1: 0, GONE: 1}}, {"hash": {"*": 0}}],
    ids=str,
)
def test_rule_without_candidate_passes_on(hub):
    """A rule whose hub is not linked, or drained, leaves the device to the next one."""
    found = decision(policy({"hub": hub}, {"name": "next", "hub": HUB_3}))

    assert (found.hub, found.rule) == (HUB_3, "next")


def test_keep_keeps():
    """`keep` is the hub the device has."""
    kept = decision(policy({"hub": {"keep": True}}), currentIotHubHostName=HUB_4.upper())

    assert kept.hub == HUB_4


def test_keep_of_a_hub_that_is_gone_passes_on():
    """A hub that DPS does not offer any more cannot be kept."""
    found = decision(
        policy({"hub": {"keep": True}}, otherwise={"hub": HUB_1}), currentIotHubHostName=GONE
    )

    assert (found.hub, found.rule) == (HUB_1, "otherwise")


@pytest.mark.parametrize("hub", [HUB_1, GONE, {"hash": {HUB_1: 1}}, {"hash": {HUB_2: 0}}], ids=str)
def test_only_hub_there_can_be_is_kept(hub):
    """Reprovisioning under "never": whatever the rule says, the device stays, and is told so."""
    found = decision(
        policy({"name": "moves", "hub": hub, "payload": {"tier": 1}}),
        hubs=(HUB_2,),
        currentIotHubHostName=HUB_2,
    )

    assert (found.hub, found.rule, found.payload) == (HUB_2, "moves", {"tier": 1})


def test_only_hub_is_kept_where_no_rule_matches():
    """A device that no rule is for, and that may not move, stays where it is."""
    nothing = policy({"when": {"payload.x": {"exists": True}}, "hub": HUB_1})

    assert decision(nothing, hubs=(HUB_2,), currentIotHubHostName=HUB_2).hub == HUB_2


def test_only_hub_of_a_new_device_is_no_reason():
    """That one hub is linked at all makes it nobody's hub."""
    with pytest.raises(NoHubError):
        decision(policy({"hub": HUB_1}), hubs=(HUB_2,))


@pytest.mark.parametrize("hubs", [(), (GONE,)])
def test_no_candidate_at_all_is_no_answer(hubs):
    """Where nothing is left there is no empty answer and no wrong hub."""
    with pytest.raises(NoHubError):
        decision(policy({"hub": HUB_1}, otherwise={"hub": {"hash": {HUB_2: 1}}}), hubs=hubs)


def test_refusal_has_its_reason():
    """`reject` decides, even for a device that has a hub."""
    found = decision(policy({"name": "no", "reject": "stolen"}), currentIotHubHostName=HUB_1)

    assert found == Refusal(reason="stolen", rule="no")


def test_otherwise_may_refuse():
    """An allow-list ends with a refusal."""
    pilot = policy(
        {"when": {"registrationId": {"in": ["dev-1"]}}, "hub": HUB_1},
        otherwise={"reject": "not on the list"},
    )

    assert isinstance(decision(pilot, registrationId="dev-1"), Assignment)
    assert isinstance(decision(pilot, registrationId="dev-2"), Refusal)


def test_star_is_every_hub_that_is_not_named():
    """One hub is drained without naming the others."""
    drained = policy({"hub": {"hash": {"*": 1, HUB_1: 0, HUB_2: 0, HUB_3: 0}}})

    assert {decision(drained, registrationId=f"dev-{n}").hub for n in range(20)} == {HUB_4}


@pytest.mark.parametrize("path", ["hashed", "sticky"])
def test_built_in_policy_answers_a_linked_hub(path):
    """The built-in policies spread new devices over what is linked."""
    built_in = python(f"shared.allocation.policies:{path}")

    hubs = {decision(built_in, registrationId=f"dev-{n}", hubs=HUBS[:2]).hub for n in range(40)}

    assert hubs == {HUB_1, HUB_2}


def test_sticky_policy_keeps():
    """`sticky` leaves a device where it is while that hub is linked."""
    sticky = python("shared.allocation.policies:sticky")

    assert {
        decision(sticky, registrationId=f"dev-{n}", currentIotHubHostName=HUB_3).hub
        for n in range(20)
    } == {HUB_3}


@pytest.mark.parametrize("path", ["hashed", "sticky"])
def test_built_in_policy_without_hub_is_no_answer(path):
    """No linked hub, no answer."""
    with pytest.raises(NoHubError):
        decision(python(f"shared.allocation.policies:{path}"), hubs=())


def python(path: str) -> AllocationPolicy:
    """The policy of a file that names this path."""

    return parsed(b'{"policies": {"p": {"python": "%s"}}}' % path.encode()).named("p")


def test_own_policy_cannot_answer_a_hub_that_is_not_linked():
    """Whoever decides, DPS is given one of its own hubs or none."""

    def wrong(_: AllocationRequest) -> Assignment:
        return Assignment(hub=GONE)

    with pytest.raises(NoHubError):
        decide(wrong, asked())


def test_own_policy_must_decide():
    """A policy that forgets to answer is a bug, not a refusal."""
    with pytest.raises(TypeError, match="Assignment or a Refusal"):
        decide(lambda _: None, asked())
