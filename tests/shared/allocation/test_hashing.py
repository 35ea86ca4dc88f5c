"""Weighted rendezvous hashing: its properties over 100,000 devices."""

from collections import Counter
from functools import cache
from typing import Any

import pytest

from shared.allocation import AllocationPolicy, AllocationRequest, Assignment, decide
from tests.shared.allocation.samples import HUB_1, HUB_2, HUB_3, HUB_4, HUBS, make_policy

DEVICES = [f"sensor-{number:06}" for number in range(100_000)]
FIFTH = "hub-5.azure-devices.net"


@cache
def allocated(weights: tuple[tuple[str, float], ...], hubs: tuple[str, ...] = HUBS) -> list[str]:
    """Returns the hub of each device."""
    policy = make_policy({"hub": {"hash": dict(weights)}})
    return [hub_of(policy, device, hubs) for device in DEVICES]


def hub_of(policy: AllocationPolicy, device: str, hubs: tuple[str, ...] = HUBS) -> str:
    """Returns the hub that a policy assigns to a device."""
    decision = decide(policy, AllocationRequest(registration_id=device, linked_hubs=hubs))
    assert isinstance(decision, Assignment)
    return decision.hub


def moves(before: list[str], after: list[str]) -> list[tuple[str, str]]:
    """Returns the old and new hub of each device that moved."""
    return [(old, new) for old, new in zip(before, after, strict=True) if old != new]


@pytest.mark.parametrize(
    "weights",
    [
        {},
        {"*": 2, HUB_1: 0.25, HUB_4: 3.5},
    ],
    ids=str,
)
def test_hubs_get_their_share_of_devices(weights: dict[str, Any]) -> None:
    """The share of each hub follows its weight, within one percentage point."""
    counted = Counter(allocated(tuple(weights.items())))

    weight_of = {hub: weights.get(hub, weights.get("*", 0 if weights else 1)) for hub in HUBS}
    total = sum(weight_of.values())
    for hub, weight in weight_of.items():
        assert counted[hub] / len(DEVICES) == pytest.approx(weight / total, abs=0.01)


def test_new_hub_takes_its_share_and_moves_no_other_device() -> None:
    """With a fifth hub, a fifth of the devices move, and all of them to that hub."""
    moved = moves(allocated(()), allocated((), (*HUBS, FIFTH)))

    assert {new for _, new in moved} == {FIFTH}
    assert len(moved) / len(DEVICES) == pytest.approx(1 / 5, abs=0.01)


def test_draining_moves_only_devices_of_the_drained_hub() -> None:
    """Weight 0 distributes the devices of one hub evenly over the others."""
    before = allocated(())
    moved = moves(before, allocated((("*", 1), (HUB_2, 0))))

    assert {old for old, _ in moved} == {HUB_2}
    assert len(moved) == before.count(HUB_2)
    shares = Counter(new for _, new in moved)
    assert all(share / len(moved) == pytest.approx(1 / 3, abs=0.02) for share in shares.values())


def test_unlinking_a_hub_is_the_same_as_draining_it() -> None:
    """The devices of a hub that DPS no longer offers go where draining would send them."""
    drained = make_policy({"hub": {"hash": {"*": 1, HUB_2: 0}}})
    plain = make_policy({"hub": {"hash": {}}})
    remaining = tuple(hub for hub in HUBS if hub != HUB_2)

    for device in DEVICES[:500]:
        assert hub_of(drained, device) == hub_of(plain, device, remaining)


def test_order_and_case_do_not_matter() -> None:
    """A device gets the same hub in any order and case of hubs, and in any case of its id."""
    weighted = make_policy({"hub": {"hash": {HUB_1.upper(): 1, HUB_2: 2, HUB_3: 1, HUB_4: 1}}})
    plain = make_policy({"hub": {"hash": {HUB_4: 1, HUB_3: 1, HUB_2: 2, HUB_1: 1}}})
    upper = tuple(hub.upper() for hub in reversed(HUBS))

    for device in DEVICES[:500]:
        assert hub_of(weighted, device.upper(), upper) == hub_of(plain, device).upper()


@pytest.mark.parametrize(
    ("device", "hub"),
    [("sensor-000000", HUB_1), ("sensor-000001", HUB_4), ("sensor-000002", HUB_2)],
)
def test_hub_of_a_device_never_changes(device: str, hub: str) -> None:
    """These hubs are fixed: no other process and no new version of the app may move a device."""
    assert hub_of(make_policy({"hub": {"hash": {}}}), device) == hub
