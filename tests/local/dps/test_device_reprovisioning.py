"""A device that comes again: which hub, which substatus, which twin."""

import pytest

from tests.local.dps.devices import HUBS, custom, status, to_hub

FIRST = {"tags": {"n": 1}}
SECOND = {"tags": {"n": 2}}


def policy(*, update, migrate):
    """The member that says what becomes of a device that comes again."""
    return {"reprovisionPolicy": {"updateHubAssignment": update, "migrateDeviceData": migrate}}


MIGRATE = policy(update=True, migrate=True)
RESET = policy(update=True, migrate=False)
NEVER = policy(update=False, migrate=False)


def moved(yard, **members):
    """A device of an enrollment that has changed its hub and its twin; its second state."""
    device = yard.individual(iotHubs=[HUBS[0]], initialTwin=FIRST, **members)
    device.register()
    yard.change("/enrollments/dev-1", iotHubs=[HUBS[1]], initialTwin=SECOND, deviceId="other")
    return device.register()


@pytest.mark.parametrize("members", [MIGRATE, {}], ids=["migrate", "by default"])
def test_to_migrate_is_to_take_everything_along(yard, members):
    """The hub changes; device id and twin are those of before."""
    state = moved(yard, **members)

    [device] = yard.landed()
    assert (state["assignedHub"], state["substatus"]) == (HUBS[1], "deviceDataMigrated")
    assert (state["deviceId"], device["twin"]) == ("dev-1", FIRST)


def test_to_reset_is_to_start_anew(yard):
    """The hub changes; device id and twin are what the enrollment says now."""
    state = moved(yard, **RESET)

    [device] = yard.landed()
    assert (state["assignedHub"], state["substatus"]) == (HUBS[1], "deviceDataReset")
    assert (state["deviceId"], device["twin"]) == ("other", SECOND)


@pytest.mark.parametrize("members", [NEVER, policy(update=False, migrate=True)])
def test_never_is_to_stay(yard, members):
    """Whatever the enrollment says by now."""
    state = moved(yard, **members)

    [device] = yard.landed()
    assert (state["assignedHub"], state["substatus"]) == (HUBS[0], "initialAssignment")
    assert (state["deviceId"], device["twin"]) == ("dev-1", FIRST)


@pytest.mark.parametrize("members", [MIGRATE, RESET, NEVER])
def test_in_the_same_hub_everything_stays(yard, members):
    """The substatus is still that of the first time; the times tell that the device was here."""
    device = yard.individual(iotHubs=[HUBS[0]], initialTwin=FIRST, **members)
    first = device.register()
    yard.change("/enrollments/dev-1", initialTwin=SECOND)

    second = device.register()

    assert second["substatus"] == "initialAssignment"
    assert yard.landed()[0]["twin"] == FIRST
    assert second["createdDateTimeUtc"] == first["createdDateTimeUtc"]
    assert second["etag"] != first["etag"]


def test_a_substatus_stays_with_the_hub(yard):
    """A device that has migrated and comes again has still migrated."""
    device = yard.individual(iotHubs=[HUBS[0]])
    device.register()
    yard.change("/enrollments/dev-1", iotHubs=[HUBS[1]])

    substatuses = [device.register()["substatus"] for _ in range(2)]

    assert substatuses == ["deviceDataMigrated"] * 2


def test_a_webhook_under_never_may_choose_the_current_hub_only(yard, webhook):
    """It is asked all the same."""
    webhook.will(to_hub(1))
    device = yard.individual(**custom(webhook.url), **NEVER)
    device.register()

    device.register()

    assert [request["linkedHubs"] for request in webhook.requests] == [list(HUBS), [HUBS[0]]]


def test_another_hub_under_never_fails(yard, webhook):
    """It was not among those to choose from."""
    webhook.will(to_hub(1), to_hub(2))
    device = yard.individual(**custom(webhook.url), **NEVER)
    device.register()

    assert device.register()["status"] == "failed"


@pytest.mark.parametrize(
    ("members", "hub", "twin"),
    [(RESET, 2, SECOND), (RESET, 1, FIRST), (MIGRATE, 2, FIRST), (MIGRATE, 1, FIRST)],
)
def test_the_twin_of_a_webhook_counts_when_the_hub_changes_and_data_is_reset(
    yard, webhook, members, hub, twin
):
    """Otherwise it is ignored."""
    webhook.will(to_hub(1, initialTwin=FIRST), to_hub(hub, initialTwin=SECOND))
    device = yard.individual(**custom(webhook.url), **members)
    device.register()

    device.register()

    assert yard.landed()[0]["twin"] == twin


def test_the_payload_of_a_webhook_counts_each_time(yard, webhook):
    """In the same hub as well."""
    webhook.will(to_hub(1, payload=1), to_hub(1, payload=2))
    device = yard.individual(**custom(webhook.url))

    payloads = [device.register()["payload"] for _ in range(2)]

    assert payloads == [1, 2]


def test_a_deleted_registration_is_a_device_never_seen(yard, webhook):
    """The webhook is told of no hub, and the assignment is an initial one."""
    webhook.will(to_hub(1), to_hub(2))
    device = yard.individual(**custom(webhook.url), **RESET)
    device.register()

    yard.owner.delete("/registrations/dev-1")
    state = device.register()

    assert "currentIotHubHostName" not in webhook.requests[1]["deviceRuntimeContext"]
    assert state["substatus"] == "initialAssignment"


def test_a_registration_that_failed_does_not_move_the_device(yard, webhook):
    """It is still in its hub, and the next webhook is told so."""
    webhook.will(to_hub(1), status(400), to_hub(2))
    device = yard.individual(**custom(webhook.url))
    states = [device.register() for _ in range(3)]

    assert [state["status"] for state in states] == ["assigned", "failed", "assigned"]
    assert states[2]["substatus"] == "deviceDataMigrated"
    assert webhook.requests[2]["deviceRuntimeContext"]["currentIotHubHostName"] == HUBS[0]


def test_a_registration_put_there_counts_as_one_before(yard):
    """So that a test can begin with a device that is somewhere."""
    device = yard.individual(iotHubs=[HUBS[0]])
    yard.owner.post("/_registrations", json={"registrationId": "dev-1", "assignedHub": HUBS[3]})

    state = device.register()

    assert state["substatus"] == "deviceDataMigrated"


def test_a_group_s_device_is_named_after_its_registration(yard):
    """With the group in what the hubs hold."""
    yard.member("dev-7").register()

    [device] = yard.landed()
    assert (device["deviceId"], device["enrollmentGroupId"]) == ("dev-7", "group-1")
