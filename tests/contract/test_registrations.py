"""Registration states. The stand-in is told of the devices: none of these clients can register one."""

import pytest

from tests.contract.places import on_this_machine

pytestmark = on_this_machine

RECORDED_ORDER = [
    "registrationId",
    "createdDateTimeUtc",
    "assignedHub",
    "deviceId",
    "status",
    "substatus",
    "lastUpdatedDateTimeUtc",
    "etag",
]


@pytest.fixture
def register(control, new_id):
    """Makes a device known; gives its registration state."""

    def order(**members):
        given = {"registrationId": new_id(), "assignedHub": "hub-1.azure-devices.net"} | members
        reply = control.post("/_registrations", json=given)
        return reply.raise_for_status().json()

    return order


@pytest.fixture
def state(register):
    """The state of an assigned device."""
    return register()


async def test_get_gives_the_state(dps, state):
    """A registration is found by its id, with the members and order of the recording."""
    reply = await dps.get("registrations", state["registrationId"])

    assert (reply.status, reply.document) == (200, state)
    assert list(reply.document) == RECORDED_ORDER


async def test_failed_state_says_why(dps, register):
    """A failed registration carries code and message, and no hub is made up for it."""
    why = {"errorCode": 400207, "errorMessage": "Custom allocation failed with status code: 400"}
    state = register(status="failed", **why)

    reply = await dps.get("registrations", state["registrationId"])

    assert {name: reply.document.get(name) for name in why} == why
    assert "deviceId" not in reply.document


async def test_payload_is_passed_on_unchanged(dps, register):
    """Whatever the webhook gave the device is shown as it is, nulls included."""
    payload = {"version": None, "count": [1, 2.5], "additionalProperties": {"ä": ""}}
    state = register(payload=payload)

    reply = await dps.get("registrations", state["registrationId"])

    assert reply.document["payload"] == payload


async def test_get_of_an_enrollment_shows_the_state(dps, state):
    """The GET of an individual enrollment embeds its device's registration state."""
    id_ = state["registrationId"]
    document = {"registrationId": id_, "attestation": {"type": "symmetricKey"}}
    await dps.create_or_update("enrollments", id_, document)

    reply = await dps.get("enrollments", id_)

    assert reply.document["registrationState"] == state


@pytest.mark.parametrize("form", [None, "{}", '"{}"', "*"], ids=["none", "raw", "quoted", "any"])
async def test_delete_removes_the_state(dps, state, form):
    """No If-Match, its etag in either form, or `*` lets a DELETE remove the state."""
    if_match = form and form.format(state["etag"])

    reply = await dps.delete("registrations", state["registrationId"], if_match=if_match)

    assert (reply.status, reply.document) == (204, None)
    assert (await dps.get("registrations", state["registrationId"])).error == (404, 404202)


async def test_delete_with_stale_etag_is_refused(dps, state, register):
    """A DELETE with the etag of an earlier state is 412."""
    register(registrationId=state["registrationId"])

    reply = await dps.delete("registrations", state["registrationId"], if_match=state["etag"])

    assert reply.status == 412


async def test_group_query_finds_the_group_s_devices(dps, register, new_id):
    """A query by group finds its registrations and no others, as a GET shows them."""
    group = new_id()
    states = [register(enrollmentGroupId=group) for _ in range(3)]
    register(enrollmentGroupId=new_id())

    (page,) = await dps.query_group(group)

    assert page.status == 200
    assert sorted(page.document, key=str) == sorted(states, key=str)


async def test_group_query_of_nothing_is_an_empty_page(dps, new_id):
    """A group without registrations has one page with nothing on it."""
    (page,) = await dps.query_group(new_id())

    assert (page.status, page.document, page.continuation) == (200, [], None)


async def test_group_query_comes_in_pages(dps, register, new_id):
    """Registrations of a group are paged like records, each found once."""
    group = new_id()
    states = [register(enrollmentGroupId=group) for _ in range(5)]

    pages = await dps.query_group(group, top=2)

    found = [state["registrationId"] for page in pages for state in page.document]
    assert [len(page.document) for page in pages] == [2, 2, 1]
    assert sorted(found) == sorted(state["registrationId"] for state in states)


async def test_group_query_goes_on_from_a_token(dps, register, new_id):
    """The token of a page leads to the rest of the group."""
    group = new_id()
    for _ in range(5):
        register(enrollmentGroupId=group)
    first, *rest = await dps.query_group(group, top=2)

    pages = await dps.query_group(group, top=2, continuation=first.continuation)

    assert [page.document for page in pages] == [page.document for page in rest]


async def test_group_query_refuses_a_foreign_token(dps, new_id):
    """A token that the query did not give is 400000."""
    (reply,) = await dps.query_group(new_id(), continuation="Zm9yZWlnbg==")

    assert reply.error == (400, 400000)


async def test_deleting_a_group_leaves_its_registrations(dps, register, new_id):
    """What registered through a group stays when the group goes."""
    group = new_id()
    document = {"enrollmentGroupId": group, "attestation": {"type": "symmetricKey"}}
    await dps.create_or_update("enrollmentGroups", group, document)
    state = register(enrollmentGroupId=group)

    await dps.delete("enrollmentGroups", group)

    assert (await dps.get("registrations", state["registrationId"])).document == state
