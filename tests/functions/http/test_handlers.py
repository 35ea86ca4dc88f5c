"""PATCH: JSON Merge Patch for records, with etags, lost responses, certificates and masked URLs."""

from collections.abc import Callable, Iterator
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
    """Creates an enrollment; returns it as DPS does."""
    document = {"registrationId": "dev-1", "attestation": {"type": "symmetricKey"}, **members}
    return dict(app.put("/enrollments/dev-1", json=document).raise_for_status().json())


def patch(app: httpx.Client, document: Any, **headers: str) -> httpx.Response:
    """Sends a merge patch for `dev-1`."""
    return app.patch("/enrollments/dev-1", json=document, headers=MERGE_PATCH | headers)


def keys(app: httpx.Client) -> dict[str, str]:
    """Returns the enrollment's keys in DPS."""
    response = app.post("/enrollments/dev-1/attestationmechanism")
    return dict(response.json()["symmetricKey"])


def test_patch_changes_only_its_members(app: httpx.Client) -> None:
    """Null removes a member; all others stay, with keys and unknown members."""
    before = create(app, initialTwin=TWIN, deviceId="old", iotHubs=None, preview={"a": [1]})

    response = patch(
        app, {"deviceId": None, "initialTwin": {"tags": {"version": None, "room": "7"}}}
    )

    after = app.get("/enrollments/dev-1").json()
    assert response.status_code == 200
    assert after["initialTwin"] == {
        "tags": {"site": "berlin", "room": "7"},
        "properties": TWIN["properties"],
    }
    assert "deviceId" not in after
    assert after["preview"] == {"a": [1]}
    assert keys(app) == before["attestation"]["symmetricKey"]


def test_patch_sets_a_key(app: httpx.Client) -> None:
    """The other key stays."""
    before, key = create(app), symmetric_key()

    patch(app, {"attestation": {"symmetricKey": {"primaryKey": key}}}).raise_for_status()

    assert keys(app) == {**before["attestation"]["symmetricKey"], "primaryKey": key}


def test_patch_keeps_certificates(app: httpx.Client) -> None:
    """DPS returns only their content, not the certificate itself."""
    x509 = {"clientCertificates": {"primary": {"certificate": certificate("dev-1")}}}
    before = create(app, attestation={"type": "x509", "x509": x509})

    patch(app, {"provisioningStatus": "disabled"}).raise_for_status()

    after = app.get("/enrollments/dev-1").json()
    assert after["provisioningStatus"] == "disabled"
    assert after["attestation"] == before["attestation"]


def test_patch_with_if_match_is_conditional(app: httpx.Client) -> None:
    """It applies to that version of the record only."""
    old = create(app)["etag"]
    new = patch(app, {"deviceId": "a"}, **{"If-Match": old}).json()["etag"]

    refused = patch(app, {"deviceId": "b"}, **{"If-Match": old})
    done = patch(app, {"deviceId": "c"}, **{"If-Match": f'"{new}"'})

    assert (refused.status_code, done.status_code) == (412, 200)


@pytest.mark.parametrize("etag", [{}, {"If-Match": "*"}], ids=["none", "any"])
def test_patch_without_etag_is_retried_after_a_change(
    app: httpx.Client, set_faults: Callable[..., None], etag: dict[str, Any]
) -> None:
    """The record is read and patched again."""
    create(app)
    set_faults({"match": {"method": "PUT"}, "times": 2, "do": {"status": 412}})

    assert patch(app, {"deviceId": "new"}, **etag).json()["deviceId"] == "new"


def test_patch_with_a_lost_response_succeeds(
    app: httpx.Client, set_faults: Callable[..., None]
) -> None:
    """The changed etag is not taken for a failed precondition."""
    create(app)
    set_faults({"match": {"method": "PUT"}, "times": 1, "do": {"resetAfterCommit": True}})

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
def test_patch_to_an_invalid_record_is_400(
    app: httpx.Client, document: dict[str, Any] | list[Any], pointers: Any
) -> None:
    """With every fault, and nothing is written."""
    before = create(app)

    response = patch(app, document)

    assert response.status_code == 400
    assert set(response.json()["info"]) == pointers
    assert app.get("/enrollments/dev-1").json()["etag"] == before["etag"]


def test_concurrent_patches_are_all_applied(app: httpx.Client) -> None:
    """One after the other."""
    create(app)

    with ThreadPoolExecutor(8) as threads:
        numbers = range(8)
        responses = list(
            threads.map(lambda n: patch(app, {"initialTwin": {"tags": {f"t{n}": n}}}), numbers)
        )

    assert [response.status_code for response in responses] == [200] * 8
    tags = app.get("/enrollments/dev-1").json()["initialTwin"]["tags"]
    assert tags == {f"t{n}": n for n in range(8)}


def test_patch_replaces_a_certificate(app: httpx.Client) -> None:
    """Without the old certificate's content, also if the etag is given."""
    old, new = certificate("dev-1"), certificate("dev-1")
    x509 = {"clientCertificates": {"primary": {"certificate": old}}}
    before = create(app, attestation={"type": "x509", "x509": x509})
    primary = {"x509": {"clientCertificates": {"primary": {"certificate": new}}}}

    response = patch(app, {"attestation": primary}, **{"If-Match": before["etag"]})

    after = response.json()["attestation"]["x509"]["clientCertificates"]["primary"]["info"]
    assert response.status_code == 200
    assert after != before["attestation"]["x509"]["clientCertificates"]["primary"]["info"]


@pytest.mark.parametrize(
    "merge_patch",
    [{"deviceId": None}, {"initialTwin": {"tags": {"version": None}}}, {"initialTwin": None}],
)
def test_failed_removal_is_an_error(
    app: httpx.Client, set_faults: Callable[..., None], merge_patch: dict[str, Any]
) -> None:
    """A patch that removes a member has failed while the member is there."""
    create(app, deviceId="old", initialTwin=TWIN)
    set_faults({"match": {"method": "PUT"}, "do": {"status": 503}})

    assert patch(app, merge_patch).status_code == 502


@pytest.mark.parametrize("media_type", ["application/json-patch+json", "text/plain"])
def test_patch_of_another_media_type_is_415(app: httpx.Client, media_type: str) -> None:
    """A JSON Patch is no merge patch."""
    assert patch(app, [], **{"Content-Type": media_type}).status_code == 415


def test_patch_of_a_missing_record_is_404(app: httpx.Client) -> None:
    """A patch creates no record."""
    assert patch(app, {"deviceId": "a"}).json()["errorCode"] == 404201


@pytest.fixture
def app_with_masked_urls(app_with: Callable[..., httpx.Client]) -> Iterator[Any]:
    """The app with a DPS that masks webhook URLs."""
    options = Options(port=0, tls_port=None, mask_webhook_urls=True)
    with in_thread(DpsStandIn(options)) as dps:
        yield app_with(DPS_CONNECTION_STRING=dps.connection_string)


def test_masked_url_is_not_written(app_with_masked_urls: httpx.Client) -> None:
    """A patch must have the webhook URL if DPS masks it."""
    create(app_with_masked_urls, allocationPolicy="custom", customAllocationDefinition=WEBHOOK)

    refused = patch(app_with_masked_urls, {"deviceId": "a"})
    given = patch(app_with_masked_urls, {"deviceId": "a", "customAllocationDefinition": WEBHOOK})

    assert set(refused.json()["info"]) == {"/customAllocationDefinition/webhookUrl"}
    assert given.status_code == 200


def test_groups_can_be_patched(app: httpx.Client) -> None:
    """As enrollments."""
    group = {"enrollmentGroupId": "g-1", "attestation": {"type": "symmetricKey"}}
    app.put("/enrollmentGroups/g-1", json=group).raise_for_status()

    response = app.patch(
        "/enrollmentGroups/g-1",
        json={"allocationPolicy": "hashed", "iotHubs": ["hub-1.azure-devices.net"]},
    )

    assert response.json()["iotHubs"] == ["hub-1.azure-devices.net"]


def test_patch_is_written_in_the_spelling_of_dps(app: httpx.Client) -> None:
    """Names and values; null removes the member."""
    create(app, deviceId="d", provisioningStatus="enabled")

    response = patch(
        app, {"DeviceId": None, "ProvisioningStatus": "DISABLED", "IOTHUBHOSTNAME": "h"}
    )

    record = response.raise_for_status().json()
    assert (record["provisioningStatus"], record["iotHubHostName"]) == ("disabled", "h")
    assert "deviceId" not in record
    assert len(set(map(str.lower, record))) == len(record)


@pytest.mark.usefixtures("no_dps_calls")
@pytest.mark.parametrize(
    ("document", "faults"),
    [
        (
            {"iotHub": None},
            {"/iotHub": "is not a member here; did you mean 'iotHubs'?"},
        ),
        (
            {"Etag": "a", "etag": "b"},
            {"/Etag": "must not appear beside etag, which is the same member in another case"},
        ),
    ],
    ids=["typing error", "two spellings"],
)
def test_misspelt_patch_is_400(app: httpx.Client, document: Any, faults: Any) -> None:
    """Before DPS is asked."""
    response = patch(app, document)

    assert (response.status_code, response.json()["info"]) == (400, faults)


READ_ONLY = ["etag", "createdDateTimeUtc", "lastUpdatedDateTimeUtc", "registrationState"]


@pytest.mark.parametrize(
    "value", ["x", None, {"status": "assigned"}], ids=["text", "null", "object"]
)
@pytest.mark.parametrize("member", READ_ONLY)
def test_patch_of_a_read_only_member_is_400(app: httpx.Client, member: str, value: Any) -> None:
    """DPS would ignore it, and the response would say that it was changed."""
    create(app)
    before = app.get("/enrollments/dev-1").json()

    response = patch(app, {member: value, "deviceId": "new"})

    assert response.status_code == 400
    assert set(response.json()["info"]) == {f"/{member}"}
    assert app.get("/enrollments/dev-1").json() == before


def test_record_that_was_read_can_be_sent_back_as_a_patch(app: httpx.Client) -> None:
    """Its read-only members have the values of the record."""
    create(app)
    record = app.get("/enrollments/dev-1").json()

    response = patch(app, {**record, "deviceId": "new"})

    assert response.raise_for_status().json()["deviceId"] == "new"


@pytest.mark.parametrize(
    ("text", "is_restricted"),
    [
        ("SELECT *", False),
        ("select * from enrollments", False),
        ("*", False),
        ("SELECT * FROM enrollments WHERE registrationId = 'dev-1'", True),
        ("select * from enrollments\nwhere a=1", True),
        ("SELECT registrationId FROM enrollments", True),
        ("SELECT TOP 5 * FROM enrollments", True),
        ("select * from enrollments group by iotHubHostName", True),
    ],
)
def test_query_for_less_than_everything_has_a_warning(
    app: httpx.Client, text: str, is_restricted: bool
) -> None:
    """DPS ignores it and returns all records (azure-iot-sdk-csharp#794)."""
    create(app)

    response = app.post("/enrollments/query", json={"Query": text})

    assert [record["registrationId"] for record in response.json()] == ["dev-1"]
    warning = (
        '299 - "DPS ignores conditions, limits and columns of a query: all records are returned."'
    )
    assert response.headers.get("Warning") == (warning if is_restricted else None)


@pytest.mark.parametrize(
    "text", ["", "anything", "{'additional_properties': {}, 'query': 'SELECT *'}"]
)
def test_any_query_text_is_passed_on(
    app: httpx.Client, set_faults: Callable[..., None], text: str
) -> None:
    """As azure-iot-sdk-csharp (its issue 3478) and azure-iot-cli-extension 0.25.0 send it."""
    set_faults({"match": {"path": "query"}, "do": {"status": 200, "body": []}})

    response = app.post("/enrollments/query", json={"query": text})

    assert (response.status_code, response.json()) == (200, [])
    assert "Warning" not in response.headers


def test_query_of_registrations_for_less_than_everything_has_a_warning(app: httpx.Client) -> None:
    """Their body is ignored altogether."""
    group = {"enrollmentGroupId": "g-1", "attestation": {"type": "symmetricKey"}}
    app.put("/enrollmentGroups/g-1", json=group).raise_for_status()

    plain = app.post("/registrations/g-1/query")
    restricted = app.post("/registrations/g-1/query", json={"query": "SELECT * WHERE a = 1"})

    assert (plain.json(), plain.headers.get("Warning")) == ([], None)
    assert restricted.headers["Warning"].startswith("299 ")
