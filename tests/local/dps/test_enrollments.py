"""The five operations on single records, the same for enrollments and groups."""

import pytest

from tests.local.dps.calls import ENROLLMENT, tpm_document

MEMBERS = {
    "customAllocationDefinition": {
        "apiVersion": "2019-03-31",
        "webhookUrl": "https://www.test.test",
    },
    "iotHubs": ["hub-1.azure-devices.net"],
    "allocationPolicy": "custom",
    "reprovisionPolicy": {"migrateDeviceData": True, "updateHubAssignment": True},
    "provisioningStatus": "enabled",
    "initialTwin": {"properties": {"desired": {"key": "value"}}},
    "capabilities": {"iotEdge": True},
}


def test_put_answers_200_for_create_and_for_update(client, kind):
    """A PUT is 200 whether or not the record was there."""
    created = client.put(f"/{kind.path}/rec-1", json=kind.document())
    etag = {"If-Match": created.json()["etag"]}

    updated = client.put(f"/{kind.path}/rec-1", json=kind.document(), headers=etag)

    assert (created.status_code, updated.status_code) == (200, 200)


def test_put_answers_members_in_the_recorded_order(client, kind):
    """The order is that of the recorded responses, whatever the order of the request."""
    reply = client.put(f"/{kind.path}/rec-1", json=kind.document(**MEMBERS)).json()

    assert list(reply) == [
        kind.id_member,
        "attestation",
        "capabilities",
        "initialTwin",
        "etag",
        "provisioningStatus",
        "reprovisionPolicy",
        "createdDateTimeUtc",
        "lastUpdatedDateTimeUtc",
        "allocationPolicy",
        "iotHubs",
        "customAllocationDefinition",
    ]
    assert list(reply["reprovisionPolicy"]) == ["updateHubAssignment", "migrateDeviceData"]
    assert list(reply["customAllocationDefinition"]) == ["webhookUrl", "apiVersion"]


def test_put_omits_nulls_but_that_of_provisioning_status(client, kind):
    """Null is left out of the answer; provisioningStatus alone is echoed."""
    nulls = dict.fromkeys((*MEMBERS, "iotHubHostName"))

    reply = client.put(f"/{kind.path}/rec-1", json=kind.document(**nulls)).json()

    assert [name for name, value in reply.items() if value is None] == ["provisioningStatus"]
    assert not (nulls.keys() - {"provisioningStatus"}) & reply.keys()


def test_put_invents_no_provisioning_status(client, kind):
    """What was not sent is not answered."""
    reply = client.put(f"/{kind.path}/rec-1", json=kind.document()).json()

    assert "provisioningStatus" not in reply


def test_put_echoes_what_it_does_not_know(client, kind):
    """Twins, preview members and members named as the SDKs' own survive."""
    twin = {
        "tags": {"version": 1, "count": None, "metadata": {}, "additionalProperties": {"a": []}}
    }
    sent = {"initialTwin": twin, "namespaceResourceId": "é", "count": 0}

    client.put(f"/{kind.path}/rec-1", json=kind.document(**sent))
    stored = client.get(f"/{kind.path}/rec-1").json()

    assert {name: stored[name] for name in sent} == sent


def test_put_on_an_existing_record_without_if_match_is_409(client, kind):
    """Create-or-update needs the etag to update."""
    client.put(f"/{kind.path}/rec-1", json=kind.document())

    reply = client.put(f"/{kind.path}/rec-1", json=kind.document())

    assert (reply.status_code, reply.json()["errorCode"]) == (409, kind.exists)
    assert reply.json()["message"].endswith("already exists.")


@pytest.mark.parametrize(
    ("method", "suffix", "headers"),
    [
        ("GET", "", {}),
        ("DELETE", "", {}),
        ("POST", "/attestationmechanism", {}),
        ("PUT", "", {"If-Match": "*"}),
        ("DELETE", "", {"If-Match": "*"}),
        ("PUT", "", {"If-Match": "IjEi"}),
    ],
)
def test_a_missing_record_is_404(client, kind, method, suffix, headers):
    """Each operation on one record says that it is missing, with the code of its kind."""
    body = {"json": kind.document()} if method == "PUT" else {}

    reply = client.request(method, f"/{kind.path}/rec-1{suffix}", headers=headers, **body)

    assert (reply.status_code, reply.json()["errorCode"]) == (404, kind.missing)


def test_delete_is_204_and_empty(client, kind):
    """The record is gone; the answer has neither body nor Content-Type."""
    client.put(f"/{kind.path}/rec-1", json=kind.document())

    reply = client.delete(f"/{kind.path}/rec-1")

    assert (reply.status_code, reply.content) == (204, b"")
    assert set(reply.headers) == {"date", "strict-transport-security"}
    assert client.get(f"/{kind.path}/rec-1").status_code == 404


def test_only_an_individual_enrollment_shows_a_registration_state(client, kind):
    """GET adds the state of a device that never came; a group has none."""
    client.put(f"/{kind.path}/rec-1", json=kind.document())

    reply = client.get(f"/{kind.path}/rec-1").json()

    unassigned = {"registrationId": "rec-1", "status": "unassigned"}
    assert reply.get("registrationState") == (unassigned if kind is ENROLLMENT else None)


def test_registration_state_stands_where_recorded(client):
    """It follows the device id."""
    client.put("/enrollments/tpm-1", json=tpm_document() | {"deviceId": "device-1"})

    reply = client.get("/enrollments/tpm-1").json()

    assert list(reply)[:4] == ["registrationId", "deviceId", "registrationState", "attestation"]


def test_ids_are_compared_without_case_and_kept_as_first_written(client, kind):
    """DEV-1 is dev-1, and stays what it was called first."""
    first = client.put(f"/{kind.path}/Rec-1", json=kind.document("Rec-1")).json()

    reply = client.put(
        f"/{kind.path}/rec-1", json=kind.document("REC-1"), headers={"If-Match": first["etag"]}
    )

    assert reply.json()[kind.id_member] == "Rec-1"


def test_ids_are_percent_decoded(client, kind):
    """A colon may be sent as %3A."""
    client.put(f"/{kind.path}/a%3Ab", json=kind.document("a:b"))

    reply = client.get(f"/{kind.path}/a:b")

    assert reply.json()[kind.id_member] == "a:b"


@pytest.mark.parametrize(("masked", "shown"), [(True, "?****"), (False, "?code=c0de")])
def test_the_query_of_a_webhook_url_is_masked_if_asked(stand_in, kind, masked, shown):
    """Whether the service does is unknown, so both can be had."""
    _, client = stand_in(mask_webhook_urls=masked)
    definition = {"webhookUrl": "https://a.test/hook?code=c0de", "apiVersion": "2021-10-01"}

    reply = client.put(
        f"/{kind.path}/rec-1", json=kind.document(customAllocationDefinition=definition)
    ).json()

    assert reply["customAllocationDefinition"]["webhookUrl"] == f"https://a.test/hook{shown}"
