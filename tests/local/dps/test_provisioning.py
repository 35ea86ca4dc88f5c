"""Reprovisioning: the hub, substatus and twin of a device that registers again."""

from typing import Any

import pytest

from tests.local.dps.devices import HUBS, Fleet, Webhook, custom, status, to_hub

FIRST: dict[str, Any] = {"tags": {"n": 1}}
SECOND: dict[str, Any] = {"tags": {"n": 2}}


def policy(*, update: bool, migrate: bool) -> dict[str, Any]:
    """Returns the member of an enrollment with a reprovision policy."""
    return {"reprovisionPolicy": {"updateHubAssignment": update, "migrateDeviceData": migrate}}


MIGRATE = policy(update=True, migrate=True)
RESET = policy(update=True, migrate=False)
NEVER = policy(update=False, migrate=False)


def register_twice(fleet: Fleet, **members: Any) -> dict[str, Any]:
    """Changes the enrollment between two registrations and returns the second state."""
    device = fleet.enroll(
        allocationPolicy="static", iotHubs=[HUBS[0]], initialTwin=FIRST, **members
    )
    device.register()
    fleet.change("/enrollments/dev-1", iotHubs=[HUBS[1]], initialTwin=SECOND, deviceId="other")
    return device.register()


@pytest.mark.parametrize("members", [MIGRATE, {}], ids=["migrate", "by default"])
def test_migrate_keeps_device_id_and_twin(fleet: Fleet, members: dict[str, Any]) -> None:
    """The device has them in the new hub."""
    state = register_twice(fleet, **members)

    [device] = fleet.hub_devices()
    assert (state["assignedHub"], state["substatus"]) == (HUBS[1], "deviceDataMigrated")
    assert (state["deviceId"], device["twin"]) == ("dev-1", FIRST)


def test_reset_uses_device_id_and_twin_of_the_enrollment(fleet: Fleet) -> None:
    """The device has those of the current enrollment in the new hub."""
    state = register_twice(fleet, **RESET)

    [device] = fleet.hub_devices()
    assert (state["assignedHub"], state["substatus"]) == (HUBS[1], "deviceDataReset")
    assert (state["deviceId"], device["twin"]) == ("other", SECOND)


@pytest.mark.parametrize("members", [NEVER, policy(update=False, migrate=True)])
def test_without_reprovisioning_the_hub_stays(fleet: Fleet, members: dict[str, Any]) -> None:
    """A change of the enrollment does not move the device."""
    state = register_twice(fleet, **members)

    [device] = fleet.hub_devices()
    assert (state["assignedHub"], state["substatus"]) == (HUBS[0], "initialAssignment")
    assert (state["deviceId"], device["twin"]) == ("dev-1", FIRST)


@pytest.mark.parametrize("members", [MIGRATE, RESET, NEVER])
def test_device_in_the_same_hub_keeps_its_substatus_and_twin(
    fleet: Fleet, members: dict[str, Any]
) -> None:
    """Only the time and etag of the registration change."""
    device = fleet.enroll(
        allocationPolicy="static", iotHubs=[HUBS[0]], initialTwin=FIRST, **members
    )
    first = device.register()
    fleet.change("/enrollments/dev-1", initialTwin=SECOND)

    second = device.register()

    assert second["substatus"] == "initialAssignment"
    assert fleet.hub_devices()[0]["twin"] == FIRST
    assert second["createdDateTimeUtc"] == first["createdDateTimeUtc"]
    assert second["etag"] != first["etag"]


def test_migrated_device_in_the_same_hub_stays_migrated(fleet: Fleet) -> None:
    """The substatus does not change."""
    device = fleet.enroll(allocationPolicy="static", iotHubs=[HUBS[0]])
    device.register()
    fleet.change("/enrollments/dev-1", iotHubs=[HUBS[1]])

    substatuses = [device.register()["substatus"] for _ in range(2)]

    assert substatuses == ["deviceDataMigrated"] * 2


def test_without_reprovisioning_a_webhook_is_offered_only_the_current_hub(
    fleet: Fleet, webhook: Webhook
) -> None:
    """The webhook is still called."""
    webhook.answer_with(to_hub(1))
    device = fleet.enroll(**custom(webhook.url), **NEVER)
    device.register()

    device.register()

    assert [request["linkedHubs"] for request in webhook.requests] == [list(HUBS), [HUBS[0]]]


def test_without_reprovisioning_another_hub_from_a_webhook_fails(
    fleet: Fleet, webhook: Webhook
) -> None:
    """The webhook chose a hub that was not offered."""
    webhook.answer_with(to_hub(1), to_hub(2))
    device = fleet.enroll(**custom(webhook.url), **NEVER)
    device.register()

    assert device.register()["status"] == "failed"


@pytest.mark.parametrize(
    ("members", "hub", "twin"),
    [(RESET, 2, SECOND), (RESET, 1, FIRST), (MIGRATE, 2, FIRST), (MIGRATE, 1, FIRST)],
)
def test_twin_of_a_webhook_is_used_if_the_hub_changes_with_reset(
    fleet: Fleet, webhook: Webhook, members: dict[str, Any], hub: int, twin: dict[str, Any]
) -> None:
    """In any other case the twin is ignored."""
    webhook.answer_with(to_hub(1, initialTwin=FIRST), to_hub(hub, initialTwin=SECOND))
    device = fleet.enroll(**custom(webhook.url), **members)
    device.register()

    device.register()

    assert fleet.hub_devices()[0]["twin"] == twin


def test_payload_of_a_webhook_is_used_each_time(fleet: Fleet, webhook: Webhook) -> None:
    """A device that stays in its hub receives the payload too."""
    webhook.answer_with(to_hub(1, payload=1), to_hub(1, payload=2))
    device = fleet.enroll(**custom(webhook.url))

    payloads = [device.register()["payload"] for _ in range(2)]

    assert payloads == [1, 2]


def test_device_without_its_registration_counts_as_new(fleet: Fleet, webhook: Webhook) -> None:
    """The webhook gets no current hub, and the assignment is an initial one."""
    webhook.answer_with(to_hub(1), to_hub(2))
    device = fleet.enroll(**custom(webhook.url), **RESET)
    device.register()

    fleet.client.delete("/registrations/dev-1")
    state = device.register()

    assert "currentIotHubHostName" not in webhook.requests[1]["deviceRuntimeContext"]
    assert state["substatus"] == "initialAssignment"


def test_failed_registration_does_not_move_the_device(fleet: Fleet, webhook: Webhook) -> None:
    """The next webhook call has its current hub."""
    webhook.answer_with(to_hub(1), status(400), to_hub(2))
    device = fleet.enroll(**custom(webhook.url))
    states = [device.register() for _ in range(3)]

    assert [state["status"] for state in states] == ["assigned", "failed", "assigned"]
    assert states[2]["substatus"] == "deviceDataMigrated"
    assert webhook.requests[2]["deviceRuntimeContext"]["currentIotHubHostName"] == HUBS[0]


def test_registration_from_the_control_endpoint_counts_as_earlier(fleet: Fleet) -> None:
    """Tests can start with an assigned device."""
    device = fleet.enroll(allocationPolicy="static", iotHubs=[HUBS[0]])
    fleet.client.post("/_registrations", json={"registrationId": "dev-1", "assignedHub": HUBS[3]})

    state = device.register()

    assert state["substatus"] == "deviceDataMigrated"


def test_device_of_a_group_has_its_registration_id_as_device_id(fleet: Fleet) -> None:
    """The hub device also has the group."""
    fleet.enroll_group("dev-7").register()

    [device] = fleet.hub_devices()
    assert (device["deviceId"], device["enrollmentGroupId"]) == ("dev-7", "group-1")
