"""Registration states of devices that have registered with DPS."""

from collections.abc import Mapping
from functools import partial

from local.demo.chapters.queries import expect_pages
from local.demo.checks import expect, expect_document, expect_error
from local.demo.context import DemoContext
from local.demo.steps import Client, Step, StepSkippedError

HUB = "hub-1.azure-devices.net"
GROUP_DEVICES = ("group-device-1", "group-device-2", "group-device-3")


def steps(demo: DemoContext) -> list[Step]:
    """Returns steps that create states in the stand-in, and read and delete them with the app."""
    return [
        Step(Client.STAND_IN, "register a device", partial(_register_device, demo)),
        Step(
            Client.STAND_IN,
            f"register {len(GROUP_DEVICES)} devices of a group",
            partial(_register_group, demo),
        ),
        Step(Client.SDK, "get the device's enrollment", partial(_get_enrollment, demo)),
        Step(Client.SDK, "get its registration state", partial(_get_state, demo)),
        Step(
            Client.SDK_AIO,
            "query group states, 2 per page",
            lambda: demo.run(_query_group(demo)),
        ),
        Step(Client.SDK, "delete all states, then get one", partial(_delete, demo)),
    ]


def _register_device(demo: DemoContext) -> str:
    id_ = _device(demo)
    _register(demo, {"registrationId": id_, "assignedHub": HUB})
    return f"{id_} assigned to {HUB.partition('.')[0]}"


def _register_group(demo: DemoContext) -> str:
    group = _group(demo)
    for id_ in GROUP_DEVICES:
        _register(demo, {"registrationId": id_, "enrollmentGroupId": group, "assignedHub": HUB})
    return f"{len(GROUP_DEVICES)} assigned, group {group}"


def _register(demo: DemoContext, registration: Mapping[str, str]) -> None:
    state = expect_document(demo.dps.post("/_registrations", json=registration))
    expect("status", state["status"], "assigned")


def _get_enrollment(demo: DemoContext) -> str:
    state = demo.sdk.enrollment.get(_device(demo))["registrationState"]
    expect("state", (state["status"], state["assignedHub"]), ("assigned", HUB))
    return f"registrationState {state['status']}"


def _get_state(demo: DemoContext) -> str:
    id_ = _device(demo)
    state = demo.sdk.device_registration_state.get(id_)
    expect("state", (state["registrationId"], state["assignedHub"]), (id_, HUB))
    return f"{state['status']}, {state['substatus']}"


async def _query_group(demo: DemoContext) -> str:
    states = await demo.aio.device_registration_state.query(_group(demo), top=2)
    return await expect_pages(states.by_page(), "registrationId", GROUP_DEVICES, page_size=2)


def _delete(demo: DemoContext) -> str:
    states, id_ = demo.sdk.device_registration_state, _device(demo)
    for device in (id_, *(GROUP_DEVICES if demo.groups else ())):
        states.delete(device, if_match=states.get(device)["etag"])
    return expect_error(lambda: states.get(id_), 404, 404202)


def _device(demo: DemoContext) -> str:
    id_, _ = demo.first_enrollment()
    return id_


def _group(demo: DemoContext) -> str:
    if not demo.groups:
        raise StepSkippedError("no group was created")
    return next(iter(demo.groups))
