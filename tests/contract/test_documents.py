"""Content of documents that is stored and returned unchanged."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.contract.clients import Client
from tests.contract.targets import local_only
from tests.local.dps.calls import Kind

READ_ONLY = {"etag", "createdDateTimeUtc", "lastUpdatedDateTimeUtc", "registrationState"}

# Member names that typed clients have confused with their own attributes
# (github.com/Azure/azure-cli/issues/30610 and /31673).
CONFUSING: dict[str, Any] = {
    "version": "2.1-beta",
    "count": {"of": "wheels"},
    "metadata": [1, "two", None],
    "additionalProperties": {"version": 1, "additionalProperties": {}},
}
FREE_FORM: dict[str, dict[str, Any]] = {
    "confusing names": CONFUSING,
    "snake and dollar": {"$metadata": {"$version": 3}, "desired_properties": 1, "": "unnamed"},
    "nulls": {"gone": None, "nested": {"gone": None, "list": [None]}, "empty": {}, "none": []},
    "numbers": {"big": 9007199254740993, "small": 5e-324, "whole": 1.0, "below": -0.5, "zero": 0},
    "texts": {"ümlaut": "日本語 🚗", "control": "\u0001\t\n\u2028", "quote": '"\\/</script>'},
    "deep": {"1": {"2": {"3": {"4": {"5": {"6": {"7": {"8": [[[[{"9": True}]]]]}}}}}}}},
}

free_form = pytest.mark.parametrize("given", FREE_FORM.values(), ids=FREE_FORM.keys())

PutAndGet = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def put_and_get(dps: Client, kind: Kind, new_id: Callable[..., str]) -> PutAndGet:
    """Puts a record with these members and returns what a GET shows."""

    async def run(**members: Any) -> dict[str, Any]:
        id_ = new_id()
        put = await dps.create_or_update(kind.path, id_, kind.document(id_, **members))
        assert put.status == 200, put
        record: dict[str, Any] = (await dps.get(kind.path, id_)).document
        return record

    return run


def without_service_members(document: dict[str, Any]) -> dict[str, Any]:
    """Returns the document without what the service adds or omits."""
    return {name: document[name] for name in document.keys() - READ_ONLY - {"attestation"}}


@local_only
@free_form
async def test_twin_is_unchanged(put_and_get: PutAndGet, given: dict[str, Any]) -> None:
    """Tags and desired properties come back unchanged, whatever their content."""
    twin = {"tags": given, "properties": {"desired": given}}

    shown = await put_and_get(initialTwin=twin)

    # repr distinguishes 1 from 1.0, and the order of members.
    assert repr(shown["initialTwin"]) == repr(twin)


@local_only
async def test_unknown_twin_members_are_kept(put_and_get: PutAndGet) -> None:
    """Members other than tags and desired properties come back, at each level."""
    twin = {"properties": {"desired": {}, "reported": {"x": 1}, **CONFUSING}, **CONFUSING}

    shown = await put_and_get(initialTwin=twin)

    assert shown["initialTwin"] == twin


@local_only
@free_form
async def test_optional_device_information_is_unchanged(
    dps: Client, new_id: Callable[..., str], given: dict[str, Any]
) -> None:
    """The free-form device information comes back unchanged."""
    id_ = new_id()
    document = {
        "registrationId": id_,
        "attestation": {"type": "symmetricKey"},
        "optionalDeviceInformation": given,
    }
    await dps.create_or_update("enrollments", id_, document)

    reply = await dps.get("enrollments", id_)

    assert repr(reply.document["optionalDeviceInformation"]) == repr(given)


@local_only
@pytest.mark.parametrize(
    "members",
    [
        CONFUSING,
        {"clientCertificateIssuingPolicy": {"certificateAuthorityName": "ca-1"}},
        {"trustBundleId": "bundle-1"},
        {"snake_case": {"kept": True}, "CamelCase": [], "ünknown": 0.1},
    ],
    ids=["confusing names", "issuing policy", "trust bundle", "other spellings"],
)
async def test_unknown_top_level_members_are_kept(
    put_and_get: PutAndGet, members: dict[str, Any]
) -> None:
    """Members of preview versions, of later versions and unknown ones come back unchanged."""
    shown = await put_and_get(**members)

    assert {name: shown.get(name) for name in members} == members


@local_only
async def test_unknown_members_of_known_objects_are_kept(put_and_get: PutAndGet) -> None:
    """Capabilities, policies and definitions keep members that no model has."""
    members = {
        "capabilities": {"iotEdge": True, "preview": {"level": 2}},
        "reprovisionPolicy": {
            "updateHubAssignment": True,
            "migrateDeviceData": False,
            "preview": [1],
        },
        "customAllocationDefinition": {
            "webhookUrl": "https://allocate.example.com/",
            "apiVersion": "2021-10-01",
            "preview": "x",
        },
    }

    shown = await put_and_get(**members)

    assert {name: shown[name] for name in members} == members


@local_only
async def test_hubs_are_unchanged(put_and_get: PutAndGet) -> None:
    """The list of hubs keeps its order and spelling."""
    hubs = ["hub-3.azure-devices.net", "hub-1.azure-devices.net"]

    shown = await put_and_get(allocationPolicy="hashed", iotHubs=hubs)

    assert shown["iotHubs"] == hubs


@local_only
async def test_query_of_a_webhook_url_is_masked(put_and_get: PutAndGet) -> None:
    """The function key in a webhook URL is shown as in azure-powershell, issue 12154."""
    url = "https://allocate.example.com/api/f"
    definition = {"webhookUrl": f"{url}?code=a%2Bb==&x=%20", "apiVersion": "2021-10-01"}

    shown = await put_and_get(allocationPolicy="custom", customAllocationDefinition=definition)

    assert shown["customAllocationDefinition"]["webhookUrl"] == f"{url}?****"


@pytest.mark.parametrize(
    ("member", "sent", "shown"),
    [
        # azure-sdk-for-python, issue 35368; azure-iot-cli-extension, pull request 464.
        ("allocationPolicy", "Hashed", "hashed"),
        ("allocationPolicy", "geolatency", "geoLatency"),
        ("allocationPolicy", "STATIC", "static"),
    ],
)
async def test_enum_is_accepted_in_any_case(
    put_and_get: PutAndGet, member: str, sent: str, shown: str
) -> None:
    """A GET shows the value in DPS's spelling."""
    assert (await put_and_get(**{member: sent}))[member] == shown


async def test_query_returns_what_get_returns(
    dps: Client, kind: Kind, put_and_get: PutAndGet
) -> None:
    """A record is the same in a query as in a GET."""
    shown = await put_and_get(initialTwin={"tags": CONFUSING})

    pages = await dps.query(kind.path)

    by_id = {r[kind.id_member]: r for page in pages for r in page.document}
    queried = by_id[shown[kind.id_member]]
    assert without_service_members(queried) == without_service_members(shown)


async def test_record_from_get_can_be_put_back(
    dps: Client, kind: Kind, put_and_get: PutAndGet
) -> None:
    """A PUT of the response to a GET, with its etag, is accepted and changes nothing."""
    shown = await put_and_get(initialTwin={"tags": CONFUSING}, provisioningStatus="disabled")

    reply = await dps.create_or_update(
        kind.path, shown[kind.id_member], shown, if_match=shown["etag"]
    )

    assert (reply.status, without_service_members(reply.document)) == (
        200,
        without_service_members(shown),
    )


@local_only
async def test_record_put_back_without_keys_keeps_them(
    dps: Client, kind: Kind, record: dict[str, Any]
) -> None:
    """A PUT of the response to a GET keeps the symmetric keys."""
    id_ = record[kind.id_member]
    shown = (await dps.get(kind.path, id_)).document

    await dps.create_or_update(kind.path, id_, shown, if_match=shown["etag"])

    mechanism = await dps.get_attestation_mechanism(kind.path, id_)
    assert mechanism.document == record["attestation"]


async def test_bulk_keeps_twin_unchanged(
    dps: Client, kind: Kind, new_id: Callable[..., str]
) -> None:
    """A twin that was created in bulk comes back unchanged."""
    id_ = new_id()
    twin = {"tags": CONFUSING, "properties": {"desired": CONFUSING}}
    operation = {kind.path: [kind.document(id_, initialTwin=twin)], "mode": "create"}
    await dps.run_bulk_operation(kind.path, operation)

    reply = await dps.get(kind.path, id_)

    assert reply.document["initialTwin"] == twin
