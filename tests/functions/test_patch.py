"""PATCH: what the patch names is changed, and nothing else."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from local.dps import DpsStandIn, Options
from local.threads import in_thread
from tests.secret_factory import certificate, symmetric_key

MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
TWIN = {"tags": {"site": "berlin", "version": 2}, "properties": {"desired": {"interval": 60}}}
WEBHOOK = {"webhookUrl": "https://example.com/allocation?code=x", "apiVersion": "2021-10-01"}


def create(app: httpx.Client, **members: Any) -> dict[str, Any]:
    """An enrollment as DPS answers its creation."""
    document = {"registrationId": "dev-1", "attestation": {"type": "symmetricKey"}, **members}
    return app.put("/enrollments/dev-1", json=document).raise_for_status().json()


def patch(app: httpx.Client, document: Any, **headers: str) -> httpx.Response:
    """Sends a merge patch for `dev-1`."""
    return app.patch("/enrollments/dev-1", json=document, headers=MERGE_PATCH | headers)


def keys(app: httpx.Client) -> dict[str, str]:
    """The keys DPS holds."""
    reply = app.post("/enrollments/dev-1/attestationmechanism")
    return reply.json()["symmetricKey"]


def test_patch_changes_what_it_names_alone(app: httpx.Client):
    """Members it names are set, nulls remove them, and all others stay, keys and unknown ones too."""
    before = create(app, initialTwin=TWIN, deviceId="old", iotHubs=None, preview={"a": [1]})

    reply = patch(app, {"deviceId": None, "initialTwin": {"tags": {"version": None, "room": "7"}}})

    after = app.get("/enrollments/dev-1").json()
    assert reply.status_code == 200
    assert after["initialTwin"] == {
        "tags": {"site": "berlin", "room": "7"},
        "properties": TWIN["properties"],
    }
    assert "deviceId" not in after
    assert after["preview"] == {"a": [1]}
    assert keys(app) == before["attestation"]["symmetricKey"]


def test_patch_sets_a_key(app: httpx.Client):
    """One key can be rolled; the other stays."""
    before, key = create(app), symmetric_key()

    patch(app, {"attestation": {"symmetricKey": {"primaryKey": key}}}).raise_for_status()

    assert keys(app) == {**before["attestation"]["symmetricKey"], "primaryKey": key}


def test_certificate_stays(app: httpx.Client):
    """A certificate, of which DPS gives back only what it read, survives a patch."""
    x509 = {"clientCertificates": {"primary": {"certificate": certificate("dev-1")}}}
    before = create(app, attestation={"type": "x509", "x509": x509})

    patch(app, {"provisioningStatus": "disabled"}).raise_for_status()

    after = app.get("/enrollments/dev-1").json()
    assert after["provisioningStatus"] == "disabled"
    assert after["attestation"] == before["attestation"]


def test_patch_by_etag(app: httpx.Client):
    """With If-Match the patch is laid on that state of the record or on none."""
    old = create(app)["etag"]
    new = patch(app, {"deviceId": "a"}, **{"If-Match": old}).json()["etag"]

    refused = patch(app, {"deviceId": "b"}, **{"If-Match": old})
    done = patch(app, {"deviceId": "c"}, **{"If-Match": f'"{new}"'})

    assert (refused.status_code, done.status_code) == (412, 200)


@pytest.mark.parametrize("etag", [{}, {"If-Match": "*"}], ids=["none", "any"])
def test_patch_meets_a_change(app: httpx.Client, order_faults, etag):
    """Without a certain etag a record that changed meanwhile is read and patched again."""
    create(app)
    order_faults({"match": {"method": "PUT"}, "times": 2, "do": {"status": 412}})

    assert patch(app, {"deviceId": "new"}, **etag).json()["deviceId"] == "new"


def test_patch_whose_reply_was_lost_is_a_success(app: httpx.Client, order_faults):
    """The write of a patch that was done is not a failed precondition."""
    create(app)
    order_faults({"match": {"method": "PUT"}, "times": 1, "do": {"resetAfterCommit": True}})

    assert patch(app, {"deviceId": "new"}).json()["deviceId"] == "new"


@pytest.mark.parametrize(
    ("document", "pointers"),
    [
        ([], {""}),
        ({"attestation": None}, {"/attestation"}),
        ({"registrationId": "dev-2"}, {"/registrationId"}),
        (
            {"allocationPolicy": "custom", "provisioningStatus": "on"},
            {"/customAllocationDefinition", "/provisioningStatus"},
        ),
    ],
)
def test_patch_that_spoils_the_record_is_400(app: httpx.Client, document, pointers):
    """A patch whose record DPS would refuse is refused with every fault, and nothing is written."""
    before = create(app)

    reply = patch(app, document)

    assert reply.status_code == 400
    assert set(reply.json()["info"]) == pointers
    assert app.get("/enrollments/dev-1").json()["etag"] == before["etag"]


def test_many_patches_at_once_are_all_laid(app: httpx.Client):
    """Patches that meet are laid one after the other, and none is lost."""
    create(app)

    with ThreadPoolExecutor(8) as threads:
        numbers = range(8)
        replies = list(
            threads.map(lambda n: patch(app, {"initialTwin": {"tags": {f"t{n}": n}}}), numbers)
        )

    assert [reply.status_code for reply in replies] == [200] * 8
    tags = app.get("/enrollments/dev-1").json()["initialTwin"]["tags"]
    assert tags == {f"t{n}": n for n in range(8)}


def test_patch_replaces_a_certificate(app: httpx.Client):
    """A new certificate goes in without what DPS read from the old one, and a lost reply is none."""
    old, new = certificate("dev-1"), certificate("dev-1")
    x509 = {"clientCertificates": {"primary": {"certificate": old}}}
    before = create(app, attestation={"type": "x509", "x509": x509})
    primary = {"x509": {"clientCertificates": {"primary": {"certificate": new}}}}

    reply = patch(app, {"attestation": primary}, **{"If-Match": before["etag"]})

    after = reply.json()["attestation"]["x509"]["clientCertificates"]["primary"]["info"]
    assert reply.status_code == 200
    assert after != before["attestation"]["x509"]["clientCertificates"]["primary"]["info"]


@pytest.mark.parametrize(
    "merge_patch",
    [{"deviceId": None}, {"initialTwin": {"tags": {"version": None}}}, {"initialTwin": None}],
)
def test_removal_that_was_not_done_is_no_success(app: httpx.Client, order_faults, merge_patch):
    """A patch that removes something is not taken for done while it is still there."""
    create(app, deviceId="old", initialTwin=TWIN)
    order_faults({"match": {"method": "PUT"}, "do": {"status": 503}})

    assert patch(app, merge_patch).status_code == 502


@pytest.mark.parametrize("media_type", ["application/json-patch+json", "text/plain"])
def test_patch_of_another_kind_is_415(app: httpx.Client, media_type: str):
    """A JSON Patch is not a merge patch, and is not taken for one."""
    assert patch(app, [], **{"Content-Type": media_type}).status_code == 415


def test_patch_of_nothing_is_404(app: httpx.Client):
    """A record that is not there is not made by a patch."""
    assert patch(app, {"deviceId": "a"}).json()["errorCode"] == 404201


@pytest.fixture
def masking(app_with):
    """The app before a DPS that masks webhook URLs."""
    options = Options(port=0, tls_port=None, mask_webhook_urls=True)
    with in_thread(DpsStandIn(options)) as dps:
        yield app_with(DPS_CONNECTION_STRING=dps.connection_string)


def test_mask_is_never_written_back(masking: httpx.Client):
    """A webhook URL that DPS masks cannot be kept, so the patch must give it."""
    create(masking, allocationPolicy="custom", customAllocationDefinition=WEBHOOK)

    refused = patch(masking, {"deviceId": "a"})
    given = patch(masking, {"deviceId": "a", "customAllocationDefinition": WEBHOOK})

    assert set(refused.json()["info"]) == {"/customAllocationDefinition/webhookUrl"}
    assert given.status_code == 200


def test_groups_are_patched_too(app: httpx.Client):
    """Enrollment groups have the same verb."""
    group = {"enrollmentGroupId": "g-1", "attestation": {"type": "symmetricKey"}}
    app.put("/enrollmentGroups/g-1", json=group).raise_for_status()

    reply = app.patch("/enrollmentGroups/g-1", json={"iotHubs": ["hub-1.azure-devices.net"]})

    assert reply.json()["iotHubs"] == ["hub-1.azure-devices.net"]
