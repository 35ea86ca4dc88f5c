"""Registration states, created at the stand-in's control endpoint: no client here is a device."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.contract.clients import Client
from tests.contract.targets import local_only

pytestmark = local_only

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

Register = Callable[..., dict[str, Any]]


@pytest.fixture
def register(control: httpx.Client, new_id: Callable[..., str]) -> Register:
    """Adds a device to the stand-in and returns its registration state."""

    def add(**members: Any) -> dict[str, Any]:
        given = {"registrationId": new_id(), "assignedHub": "hub-1.azure-devices.net"} | members
        reply = control.post("/_registrations", json=given)
        state: dict[str, Any] = reply.raise_for_status().json()
        return state

    return add


@pytest.fixture
def state(register: Register) -> dict[str, Any]:
    """The registration state of an assigned device."""
    return register()


async def test_get_returns_the_state(dps: Client, state: dict[str, Any]) -> None:
    """A GET by id returns the state, with the members and their order as recorded."""
    reply = await dps.get("registrations", state["registrationId"])

    assert (reply.status, reply.document) == (200, state)
    assert list(reply.document) == RECORDED_ORDER


async def test_failed_state_has_code_and_message(dps: Client, register: Register) -> None:
    """A failed registration has error code and message, and no device id."""
    error = {"errorCode": 400207, "errorMessage": "Custom allocation failed with status code: 400"}
    state = register(status="failed", **error)

    reply = await dps.get("registrations", state["registrationId"])

    assert {name: reply.document.get(name) for name in error} == error
    assert "deviceId" not in reply.document


async def test_payload_is_unchanged(dps: Client, register: Register) -> None:
    """The payload that a webhook returned is shown unchanged, nulls included."""
    payload = {"version": None, "count": [1, 2.5], "additionalProperties": {"ä": ""}}
    state = register(payload=payload)

    reply = await dps.get("registrations", state["registrationId"])

    assert reply.document["payload"] == payload


async def test_enrollment_contains_the_state(dps: Client, state: dict[str, Any]) -> None:
    """The GET of an individual enrollment contains the registration state of its device."""
    id_ = state["registrationId"]
    document = {"registrationId": id_, "attestation": {"type": "symmetricKey"}}
    await dps.create_or_update("enrollments", id_, document)

    reply = await dps.get("enrollments", id_)

    assert reply.document["registrationState"] == state


@pytest.mark.parametrize("form", [None, "{}", '"{}"', "*"], ids=["none", "raw", "quoted", "any"])
async def test_delete_removes_the_state(
    dps: Client, state: dict[str, Any], form: str | None
) -> None:
    """A DELETE without If-Match, with the etag in either form, or with `*` deletes the state."""
    if_match = form and form.format(state["etag"])

    reply = await dps.delete("registrations", state["registrationId"], if_match=if_match)

    assert (reply.status, reply.document) == (204, None)
    assert (await dps.get("registrations", state["registrationId"])).error == (404, 404202)


async def test_delete_with_stale_etag_is_refused(
    dps: Client, state: dict[str, Any], register: Register
) -> None:
    """A DELETE with the etag of an earlier state is 412."""
    register(registrationId=state["registrationId"])

    reply = await dps.delete("registrations", state["registrationId"], if_match=state["etag"])

    assert reply.status == 412


async def test_group_query_returns_the_states_of_the_group(
    dps: Client, register: Register, new_id: Callable[..., str]
) -> None:
    """A query by group returns its registrations and no others, as a GET shows them."""
    group = new_id()
    states = [register(enrollmentGroupId=group) for _ in range(3)]
    register(enrollmentGroupId=new_id())

    (page,) = await dps.query_group(group)

    assert page.status == 200
    assert sorted(page.document, key=str) == sorted(states, key=str)


async def test_group_query_without_registrations_is_an_empty_page(
    dps: Client, new_id: Callable[..., str]
) -> None:
    """A group without registrations has one empty page."""
    (page,) = await dps.query_group(new_id())

    assert (page.status, page.document, page.continuation) == (200, [], None)


async def test_group_query_has_pages(
    dps: Client, register: Register, new_id: Callable[..., str]
) -> None:
    """Registrations of a group come in pages, each exactly once."""
    group = new_id()
    states = [register(enrollmentGroupId=group) for _ in range(5)]

    pages = await dps.query_group(group, top=2)

    ids = [state["registrationId"] for page in pages for state in page.document]
    assert [len(page.document) for page in pages] == [2, 2, 1]
    assert sorted(ids) == sorted(state["registrationId"] for state in states)


async def test_group_query_continues_from_a_token(
    dps: Client, register: Register, new_id: Callable[..., str]
) -> None:
    """The token of a page leads to the rest of the group."""
    group = new_id()
    for _ in range(5):
        register(enrollmentGroupId=group)
    first, *rest = await dps.query_group(group, top=2)

    pages = await dps.query_group(group, top=2, continuation=first.continuation)

    assert [page.document for page in pages] == [page.document for page in rest]


async def test_group_query_refuses_an_invalid_token(
    dps: Client, new_id: Callable[..., str]
) -> None:
    """A token that this query did not return is 400000."""
    (reply,) = await dps.query_group(new_id(), continuation="Zm9yZWlnbg==")

    assert reply.error == (400, 400000)


async def test_deleting_a_group_keeps_its_registrations(
    dps: Client, register: Register, new_id: Callable[..., str]
) -> None:
    """Registrations of a group remain when the group is deleted."""
    group = new_id()
    document = {"enrollmentGroupId": group, "attestation": {"type": "symmetricKey"}}
    await dps.create_or_update("enrollmentGroups", group, document)
    state = register(enrollmentGroupId=group)

    await dps.delete("enrollmentGroups", group)

    assert (await dps.get("registrations", state["registrationId"])).document == state
