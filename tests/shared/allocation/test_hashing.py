"""Weighted rendezvous hashing, as properties over a hundred thousand devices."""

from collections import Counter
from functools import cache

import pytest

from shared.allocation import AllocationRequest, decide
from tests.shared.allocation.asking import HUB_1, HUB_2, HUB_3, HUB_4, HUBS, policy

DEVICES = [f"sensor-{number:06}" for number in range(100_000)]
FIFTH = "hub-5.azure-devices.net"


@cache
def allocated(weights: tuple[tuple[str, float], ...], hubs: tuple[str, ...] = HUBS) -> list[str]:
    """The hub of each device."""
    hashed = policy({"hub": {"hash": dict(weights)}})
    asked = (AllocationRequest(registration_id=id, linked_hubs=hubs) for id in DEVICES)
    return [decide(hashed, request).hub for request in asked]


def moves(before: list[str], after: list[str]) -> list[tuple[str, str]]:
    """From where to where devices moved."""
    return [(old, new) for old, new in zip(before, after, strict=True) if old != new]


@pytest.mark.parametrize(
    "weights",
    [
        {},
        {"*": 2, HUB_1: 0.25, HUB_4: 3.5},
    ],
    ids=str,
)
def test_weights_hold(weights):
    """Each hub gets its share, within one in a hundred devices."""
    counted = Counter(allocated(tuple(weights.items())))

    weight_of = {hub: weights.get(hub, weights.get("*", 0 if weights else 1)) for hub in HUBS}
    total = sum(weight_of.values())
    for hub, weight in weight_of.items():
        assert counted[hub] / len(DEVICES) == pytest.approx(weight / total, abs=0.01)


def test_hub_that_is_added_takes_its_share_and_moves_nobody_else():
    """From four hubs to five: a fifth of the devices move, all of them to the fifth hub."""
    moved = moves(allocated(()), allocated((), (*HUBS, FIFTH)))

    assert {new for _, new in moved} == {FIFTH}
    assert len(moved) / len(DEVICES) == pytest.approx(1 / 5, abs=0.01)


def test_draining_moves_only_the_drained():
    """Weight 0 sends the devices of one hub to the others alike, and moves no other device."""
    before = allocated(())
    moved = moves(before, allocated((("*", 1), (HUB_2, 0))))

    assert {old for old, _ in moved} == {HUB_2}
    assert len(moved) == before.count(HUB_2)
    shares = Counter(new for _, new in moved)
    assert all(share / len(moved) == pytest.approx(1 / 3, abs=0.02) for share in shares.values())


def test_hub_that_is_unlinked_is_as_good_as_drained():
    """Where DPS does not offer a hub any more, its devices go where draining would send them."""
    drained = policy({"hub": {"hash": {"*": 1, HUB_2: 0}}})
    plain = policy({"hub": {"hash": {}}})
    left = tuple(hub for hub in HUBS if hub != HUB_2)

    for device in DEVICES[:500]:
        one = decide(drained, AllocationRequest(registration_id=device, linked_hubs=HUBS))
        other = decide(plain, AllocationRequest(registration_id=device, linked_hubs=left))
        assert one.hub == other.hub


def test_order_and_case_mean_nothing():
    """The same device gets the same hub, however DPS or the file writes them down."""
    hashed = policy({"hub": {"hash": {HUB_1.upper(): 1, HUB_2: 2, HUB_3: 1, HUB_4: 1}}})
    plain = policy({"hub": {"hash": {HUB_4: 1, HUB_3: 1, HUB_2: 2, HUB_1: 1}}})
    shouted = tuple(hub.upper() for hub in reversed(HUBS))

    for device in DEVICES[:500]:
        one = decide(hashed, AllocationRequest(registration_id=device.upper(), linked_hubs=shouted))
        other = decide(plain, AllocationRequest(registration_id=device, linked_hubs=HUBS))
        assert one.hub == other.hub.upper()


@pytest.mark.parametrize(
    ("device", "hub"),
    [("sensor-000000", HUB_1), ("sensor-000001", HUB_4), ("sensor-000002", HUB_2)],
)
def test_hub_of_a_device_never_changes(device, hub):
    """Neither another process nor a new version of the app moves a fleet: these are pinned."""
    request = AllocationRequest(registration_id=device, linked_hubs=HUBS)

    assert decide(policy({"hub": {"hash": {}}}), request).hub == hub
