"""The policies that DPS has built in: which hub a device gets."""

import pytest

from tests.local.dps.devices import HUBS, Device, custom, derive

DEVICES = [f"dev-{n}" for n in range(40)]


def landing(yard, policy=None, hubs=None):
    """The hub of each of many devices of one group."""
    members = {"allocationPolicy": policy, "iotHubs": hubs}
    yard.member(**{name: value for name, value in members.items() if value is not None})
    mechanism = yard.owner.post("/enrollmentGroups/group-1/attestationmechanism").json()
    key = mechanism["symmetricKey"]["primaryKey"]
    devices = [Device(dps=yard.dps, id=id_, key=derive(key, id_)) for id_ in DEVICES]
    return [device.register()["assignedHub"] for device in devices]


@pytest.mark.parametrize("policy", ["hashed", None])
def test_hashed_spreads_devices_over_the_linked_hubs(yard, policy):
    """It is what an entry has that names no policy."""
    assert set(landing(yard, policy)) == set(HUBS)


def test_hashed_sends_a_device_where_it_sent_it_before(yard):
    """Even if everything else is forgotten in between."""
    first = landing(yard)
    yard.owner.post("/_reset")

    assert landing(yard) == first


def test_hashed_moves_no_device_between_hubs_that_stay(yard):
    """With a hub less, its own devices find another; the rest stay where they are."""
    before = landing(yard)
    yard.owner.post("/_reset")

    after = landing(yard, hubs=list(HUBS[:3]))

    stayed = [(was, now) for was, now in zip(before, after, strict=True) if was in HUBS[:3]]
    assert all(was == now for was, now in stayed)


@pytest.mark.parametrize("policy", ["hashed", "static", "geoLatency"])
def test_the_hubs_of_the_entry_are_the_only_ones(yard, policy):
    """However many are linked."""
    state = yard.individual(allocationPolicy=policy, iotHubs=[HUBS[2]]).register()

    assert state["assignedHub"] == HUBS[2]


def test_the_one_hub_of_old_is_the_only_one(yard):
    """iotHubHostName is what iotHubs was before there could be several."""
    assert yard.individual(iotHubHostName=HUBS[3]).register()["assignedHub"] == HUBS[3]


def test_static_without_a_hub_takes_the_first_that_is_linked(yard):
    """The service takes such an enrollment; what it does with it is unknown."""
    assert yard.individual(allocationPolicy="static").register()["assignedHub"] == HUBS[0]


def test_geo_latency_takes_the_hub_that_answers_soonest(yard_with):
    """By a table that is configured; a hub that is not in it is far away."""
    yard = yard_with(hub_latencies={HUBS[1]: 80, HUBS[2]: 20})

    assert yard.individual(allocationPolicy="geoLatency").register()["assignedHub"] == HUBS[2]


def test_geo_latency_spreads_devices_over_hubs_that_are_equally_far(yard_with):
    """As documented: by hash."""
    yard = yard_with(hub_latencies={HUBS[0]: 20, HUBS[1]: 20})

    assert set(landing(yard, "geoLatency")) == set(HUBS[:2])


@pytest.mark.parametrize("members", [{}, custom("http://127.0.0.1:9/never-called")])
def test_without_a_linked_hub_a_registration_fails(yard_with, members):
    """And the service API shows that it did."""
    yard = yard_with(linked_hubs=())

    state = yard.individual(**members).register()

    assert (state["status"], state["errorCode"]) == ("failed", 400000)
    assert yard.registration() == state
    assert "assignedHub" not in state
