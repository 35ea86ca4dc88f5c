"""What a document carries unread: it comes back as it went in."""

from typing import Any

import pytest

from tests.contract.places import on_this_machine

READ_ONLY = {"etag", "createdDateTimeUtc", "lastUpdatedDateTimeUtc", "registrationState"}

# Members that clients which model a twin mistook for their own
# (github.com/Azure/azure-cli/issues/30610 and /31673).
MISTAKEN = {
    "version": "2.1-beta",
    "count": {"of": "wheels"},
    "metadata": [1, "two", None],
    "additionalProperties": {"version": 1, "additionalProperties": {}},
}
FREE_FORM: dict[str, dict[str, Any]] = {
    "mistaken names": MISTAKEN,
    "snake and dollar": {"$metadata": {"$version": 3}, "desired_properties": 1, "": "unnamed"},
    "nulls": {"gone": None, "nested": {"gone": None, "list": [None]}, "empty": {}, "none": []},
    "numbers": {"big": 9007199254740993, "small": 5e-324, "whole": 1.0, "below": -0.5, "zero": 0},
    "texts": {"ümlaut": "日本語 🚗", "control": "\u0001\t\n\u2028", "quote": '"\\/</script>'},
    "deep": {"1": {"2": {"3": {"4": {"5": {"6": {"7": {"8": [[[[{"9": True}]]]]}}}}}}}},
}

free_form = pytest.mark.parametrize("given", FREE_FORM.values(), ids=FREE_FORM.keys())


@pytest.fixture
def returned(dps, kind, new_id):
    """Puts a record with members and gives what a GET then shows."""

    async def put_and_get(**members):
        id_ = new_id()
        put = await dps.create_or_update(kind.path, id_, kind.document(id_, **members))
        assert put.status == 200, put
        return (await dps.get(kind.path, id_)).document

    return put_and_get


def own(document):
    """The document without what the service writes, and without what it strips."""
    return {name: document[name] for name in document.keys() - READ_ONLY - {"attestation"}}


@on_this_machine
@free_form
async def test_twin_survives(returned, given):
    """Tags and desired properties of an initial twin come back unchanged, whatever is in them."""
    twin = {"tags": given, "properties": {"desired": given}}

    shown = await returned(initialTwin=twin)

    assert repr(shown["initialTwin"]) == repr(twin)  # tells 1 from 1.0, and the order of members


@on_this_machine
async def test_unknown_members_of_a_twin_survive(returned):
    """Members beside tags and desired properties come back, at each level."""
    twin = {"properties": {"desired": {}, "reported": {"x": 1}, **MISTAKEN}, **MISTAKEN}

    shown = await returned(initialTwin=twin)

    assert shown["initialTwin"] == twin


@on_this_machine
@free_form
async def test_optional_device_information_survives(dps, new_id, given):
    """The free-form information about a device comes back unchanged."""
    id_ = new_id()
    document = {"registrationId": id_, "attestation": {"type": "symmetricKey"}}
    document["optionalDeviceInformation"] = given
    await dps.create_or_update("enrollments", id_, document)

    reply = await dps.get("enrollments", id_)

    assert repr(reply.document["optionalDeviceInformation"]) == repr(given)


@on_this_machine
@pytest.mark.parametrize(
    "members",
    [
        MISTAKEN,
        {"clientCertificateIssuingPolicy": {"certificateAuthorityName": "ca-1"}},
        {"trustBundleId": "bundle-1"},
        {"snake_case": {"kept": True}, "CamelCase": [], "ünknown": 0.1},
    ],
    ids=["mistaken names", "issuing policy", "trust bundle", "other spellings"],
)
async def test_unknown_top_level_members_survive(returned, members):
    """Members of previews, of later versions and of nobody come back unchanged."""
    shown = await returned(**members)

    assert {name: shown.get(name) for name in members} == members


@on_this_machine
async def test_unknown_members_of_known_objects_survive(returned):
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

    shown = await returned(**members)

    assert {name: shown[name] for name in members} == members


@on_this_machine
async def test_hubs_are_echoed_verbatim(returned):
    """The list of hubs keeps its order and spelling."""
    hubs = ["hub-3.azure-devices.net", "hub-1.azure-devices.net"]

    shown = await returned(allocationPolicy="hashed", iotHubs=hubs)

    assert shown["iotHubs"] == hubs


@on_this_machine
async def test_webhook_url_keeps_its_query(returned):
    """The function key in a webhook's URL is not lost on the way."""
    url = "https://allocate.example.com/api/f?code=a%2Bb==&x=%20"
    definition = {"webhookUrl": url, "apiVersion": "2021-10-01"}

    shown = await returned(allocationPolicy="custom", customAllocationDefinition=definition)

    assert shown["customAllocationDefinition"]["webhookUrl"] == url


async def test_query_shows_what_get_shows(dps, kind, returned):
    """A twin is the same in a query as in a GET."""
    shown = await returned(initialTwin={"tags": MISTAKEN})

    pages = await dps.query(kind.path)

    found = {r[kind.id_member]: r for page in pages for r in page.document}
    assert own(found[shown[kind.id_member]]) == own(shown)


async def test_record_from_get_can_be_put_back(dps, kind, returned):
    """GET, then PUT of the same with its etag: read-only members are tolerated, nothing changes."""
    shown = await returned(initialTwin={"tags": MISTAKEN}, provisioningStatus="disabled")

    reply = await dps.create_or_update(
        kind.path, shown[kind.id_member], shown, if_match=shown["etag"]
    )

    assert (reply.status, own(reply.document)) == (200, own(shown))


@on_this_machine
async def test_record_put_back_without_keys_keeps_them(dps, kind, record):
    """A PUT of what GET showed leaves the symmetric keys as they are."""
    id_ = record[kind.id_member]
    shown = (await dps.get(kind.path, id_)).document

    await dps.create_or_update(kind.path, id_, shown, if_match=shown["etag"])

    mechanism = await dps.get_attestation_mechanism(kind.path, id_)
    assert mechanism.document == record["attestation"]


async def test_bulk_carries_documents_unread(dps, kind, new_id):
    """A twin that was created in bulk comes back unchanged."""
    id_ = new_id()
    twin = {"tags": MISTAKEN, "properties": {"desired": MISTAKEN}}
    operation = {kind.path: [kind.document(id_, initialTwin=twin)], "mode": "create"}
    await dps.run_bulk_operation(kind.path, operation)

    reply = await dps.get(kind.path, id_)

    assert reply.document["initialTwin"] == twin
