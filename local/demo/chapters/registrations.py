"""Registration states: what DPS knows of devices that came to it."""

from collections.abc import Mapping
from functools import partial

from local.demo.chapters.pages import paged
from local.demo.checks import answer, expect, refused
from local.demo.scene import Scene
from local.demo.steps import NothingToShowError, Step, Via

HUB = "hub-1.azure-devices.net"
OF_A_GROUP = ("group-device-1", "group-device-2", "group-device-3")


def steps(scene: Scene) -> list[Step]:
    """The stand-in is told that devices came; the app shows what it then knows."""
    return [
        Step(Via.STAND_IN, "a device comes to DPS", partial(_one_comes, scene)),
        Step(Via.STAND_IN, "three devices of a group come", partial(_group_comes, scene)),
        Step(Via.SDK, "get the device's enrollment", partial(_enrollment, scene)),
        Step(Via.SDK, "get its registration state", partial(_state, scene)),
        Step(Via.SDK_AIO, "query the group's, 2 a page", lambda: scene.run(_of_group(scene))),
        Step(Via.SDK, "delete them, get one again", partial(_delete, scene)),
    ]


def _one_comes(scene: Scene) -> str:
    id_ = _device(scene)
    _register(scene, {"registrationId": id_, "assignedHub": HUB})
    return f"{id_}: assigned to {HUB.partition('.')[0]}"


def _group_comes(scene: Scene) -> str:
    group = _group(scene)
    for id_ in OF_A_GROUP:
        _register(scene, {"registrationId": id_, "enrollmentGroupId": group, "assignedHub": HUB})
    return f"{len(OF_A_GROUP)} through {group}"


def _register(scene: Scene, registration: Mapping[str, str]) -> None:
    expect(
        "status", answer(scene.dps.post("/_registrations", json=registration))["status"], "assigned"
    )


def _enrollment(scene: Scene) -> str:
    state = scene.sdk.enrollment.get(_device(scene))["registrationState"]
    expect("state", (state["status"], state["assignedHub"]), ("assigned", HUB))
    return f"registrationState: {state['status']}"


def _state(scene: Scene) -> str:
    id_ = _device(scene)
    state = scene.sdk.device_registration_state.get(id_)
    expect("state", (state["registrationId"], state["assignedHub"]), (id_, HUB))
    return f"{state['status']}, {state['substatus']}"


async def _of_group(scene: Scene) -> str:
    found = await scene.aio.device_registration_state.query(_group(scene), top=2)
    return await paged(found.by_page(), "registrationId", OF_A_GROUP, at_most=2)


def _delete(scene: Scene) -> str:
    states, id_ = scene.sdk.device_registration_state, _device(scene)
    for came in (id_, *(OF_A_GROUP if scene.groups else ())):
        states.delete(came, if_match=states.get(came)["etag"])
    return refused(lambda: states.get(id_), 404, 404202)


def _device(scene: Scene) -> str:
    id_, _ = scene.first()
    return id_


def _group(scene: Scene) -> str:
    if not scene.groups:
        raise NothingToShowError("no group was written")
    return next(iter(scene.groups))
