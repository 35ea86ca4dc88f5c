"""The service API: enrollments, groups, bulk operations and registration states."""

from typing import Any

import httpx
import pytest

from tests.local.dps.calls import ENROLLMENT, GROUP, Kind, StartDps, tpm_document

MEMBERS: dict[str, Any] = {
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


def test_put_is_200_for_create_and_update(client: httpx.Client, kind: Kind) -> None:
    """The status is not 201, even for a new record."""
    created = client.put(f"/{kind.path}/rec-1", json=kind.document())
    etag = {"If-Match": created.json()["etag"]}

    updated = client.put(f"/{kind.path}/rec-1", json=kind.document(), headers=etag)

    assert (created.status_code, updated.status_code) == (200, 200)


def test_put_returns_members_in_the_recorded_order(client: httpx.Client, kind: Kind) -> None:
    """The order of the members in the request does not matter."""
    response = client.put(f"/{kind.path}/rec-1", json=kind.document(**MEMBERS)).json()

    assert list(response) == [
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
    assert list(response["reprovisionPolicy"]) == ["updateHubAssignment", "migrateDeviceData"]
    assert list(response["customAllocationDefinition"]) == ["webhookUrl", "apiVersion"]


def test_put_omits_nulls_except_that_of_provisioning_status(
    client: httpx.Client, kind: Kind
) -> None:
    """Responses omit nulls as recorded."""
    nulls: dict[str, Any] = dict.fromkeys((*MEMBERS, "iotHubHostName"))

    response = client.put(f"/{kind.path}/rec-1", json=kind.document(**nulls)).json()

    assert [name for name, value in response.items() if value is None] == ["provisioningStatus"]
    assert not (nulls.keys() - {"provisioningStatus"}) & response.keys()


def test_put_adds_no_default_provisioning_status(client: httpx.Client, kind: Kind) -> None:
    """The response has no provisioningStatus if the request has none."""
    response = client.put(f"/{kind.path}/rec-1", json=kind.document()).json()

    assert "provisioningStatus" not in response


def test_put_stores_unknown_members(client: httpx.Client, kind: Kind) -> None:
    """Twins may have nulls, preview members, and names that the SDKs use themselves."""
    tags: dict[str, Any] = {
        "version": 1,
        "count": None,
        "metadata": {},
        "additionalProperties": {"a": []},
    }
    sent: dict[str, Any] = {
        "initialTwin": {"tags": tags},
        "namespaceResourceId": "é",
        "count": 0,
    }

    client.put(f"/{kind.path}/rec-1", json=kind.document(**sent))
    stored = client.get(f"/{kind.path}/rec-1").json()

    assert {name: stored[name] for name in sent} == sent


def test_put_of_an_existing_record_without_if_match_is_409(
    client: httpx.Client, kind: Kind
) -> None:
    """An update requires the etag."""
    client.put(f"/{kind.path}/rec-1", json=kind.document())

    response = client.put(f"/{kind.path}/rec-1", json=kind.document())

    assert (response.status_code, response.json()["errorCode"]) == (409, kind.exists)
    assert response.json()["message"].endswith("already exists.")


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
def test_missing_record_is_404(
    client: httpx.Client, kind: Kind, method: str, suffix: str, headers: dict[str, str]
) -> None:
    """Each operation on a missing record has the code of the record's kind."""
    document = kind.document() if method == "PUT" else None

    response = client.request(method, f"/{kind.path}/rec-1{suffix}", headers=headers, json=document)

    assert (response.status_code, response.json()["errorCode"]) == (404, kind.missing)


def test_delete_is_204_without_a_body(client: httpx.Client, kind: Kind) -> None:
    """The record is gone."""
    client.put(f"/{kind.path}/rec-1", json=kind.document())

    response = client.delete(f"/{kind.path}/rec-1")

    assert (response.status_code, response.content) == (204, b"")
    assert set(response.headers) == {"date", "strict-transport-security"}
    assert client.get(f"/{kind.path}/rec-1").status_code == 404


def test_only_an_individual_enrollment_has_a_registration_state(
    client: httpx.Client, kind: Kind
) -> None:
    """It is unassigned if the device has never registered."""
    client.put(f"/{kind.path}/rec-1", json=kind.document())

    response = client.get(f"/{kind.path}/rec-1").json()

    unassigned = {"registrationId": "rec-1", "status": "unassigned"}
    assert response.get("registrationState") == (unassigned if kind is ENROLLMENT else None)


def test_registration_state_follows_the_device_id(client: httpx.Client) -> None:
    """The order of the members is as recorded."""
    client.put("/enrollments/tpm-1", json=tpm_document() | {"deviceId": "device-1"})

    response = client.get("/enrollments/tpm-1").json()

    assert list(response)[:4] == ["registrationId", "deviceId", "registrationState", "attestation"]


def test_ids_are_compared_without_case(client: httpx.Client, kind: Kind) -> None:
    """An update keeps the first spelling."""
    first = client.put(f"/{kind.path}/Rec-1", json=kind.document("Rec-1")).json()

    response = client.put(
        f"/{kind.path}/rec-1", json=kind.document("REC-1"), headers={"If-Match": first["etag"]}
    )

    assert response.json()[kind.id_member] == "Rec-1"


def test_ids_in_paths_are_percent_decoded(client: httpx.Client, kind: Kind) -> None:
    """A colon may be sent as %3A."""
    client.put(f"/{kind.path}/a%3Ab", json=kind.document("a:b"))

    response = client.get(f"/{kind.path}/a:b")

    assert response.json()[kind.id_member] == "a:b"


@pytest.mark.parametrize(
    ("options", "sent", "shown"),
    [
        ({}, "https://a.test/hook?code=c0de&x=?", "https://a.test/hook?****"),
        ({}, "https://a.test/hook?code=c0\nde", "https://a.test/hook?****"),
        ({}, "https://a.test/hook", "https://a.test/hook"),
        ({"mask_webhook_urls": False}, "https://a.test/?code=c0de", "https://a.test/?code=c0de"),
    ],
)
def test_query_of_a_webhook_url_is_masked_unless_switched_off(
    start_dps: StartDps, kind: Kind, options: dict[str, bool], sent: str, shown: str
) -> None:
    """PUT, GET and query show the form of azure-powershell#12154."""
    _, client = start_dps(**options)
    definition = {"webhookUrl": sent, "apiVersion": "2021-10-01"}
    document = kind.document(customAllocationDefinition=definition)

    put = client.put(f"/{kind.path}/rec-1", json=document).json()
    read = client.get(f"/{kind.path}/rec-1").json()
    [queried] = client.post(f"/{kind.path}/query", json={"query": "SELECT *"}).json()

    records = (put, read, queried)
    assert [r["customAllocationDefinition"]["webhookUrl"] for r in records] == [shown] * 3


def run(client: httpx.Client, kind: Kind, mode: str, items: list[Any]) -> httpx.Response:
    """Returns the response to a bulk call."""
    return client.post(f"/{kind.path}", json={kind.path: items, "mode": mode})


def test_bulk_create_stores_all_items(client: httpx.Client, kind: Kind) -> None:
    """Ten items are stored at once; the response has no other members."""
    items = [kind.document(f"rec-{n}") for n in range(10)]

    response = run(client, kind, "create", items)

    assert (response.status_code, response.json()) == (200, {"errors": [], "isSuccessful": True})
    assert client.get(f"/{kind.path}/rec-9").status_code == 200


def test_bulk_item_that_fails_does_not_undo_the_others(client: httpx.Client, kind: Kind) -> None:
    """Errors are in the order of the items, with HTTP 200."""
    client.put(f"/{kind.path}/rec-2", json=kind.document("rec-2"))
    items = [kind.document(f"rec-{n}") for n in range(4)]
    items[1].pop("attestation")

    response = run(client, kind, "create", items)

    result = response.json()
    assert (response.status_code, result["isSuccessful"]) == (200, False)
    assert [(e[kind.id_member], e["errorCode"]) for e in result["errors"]] == [
        ("rec-1", 400004),
        ("rec-2", kind.exists),
    ]
    assert list(result["errors"][1]) == [kind.id_member, "errorCode", "errorStatus"]
    assert client.get(f"/{kind.path}/rec-3").status_code == 200


@pytest.mark.parametrize("mode", ["update", "updateIfMatchETag"])
def test_bulk_update_without_etag_is_a_conflict(
    client: httpx.Client, kind: Kind, mode: str
) -> None:
    """The record exists, so the item is a 409, as recorded."""
    client.put(f"/{kind.path}/rec-1", json=kind.document())

    response = run(client, kind, mode, [kind.document()])

    assert [error["errorCode"] for error in response.json()["errors"]] == [kind.exists]


@pytest.mark.parametrize("mode", ["update", "updateIfMatchETag"])
@pytest.mark.parametrize(
    ("etag", "codes"), [(None, []), ("*", []), ("IjEi", [412001]), ("not base64!", [400004])]
)
def test_bulk_update_compares_the_etag_of_the_item(
    client: httpx.Client, kind: Kind, mode: str, etag: str | None, codes: list[int]
) -> None:
    """The current one or * succeeds; a stale one is 412001, an invalid one 400004."""
    current = client.put(f"/{kind.path}/rec-1", json=kind.document()).json()["etag"]

    response = run(client, kind, mode, [kind.document(etag=etag or current)])

    assert [error["errorCode"] for error in response.json()["errors"]] == codes


@pytest.mark.parametrize("mode", ["update", "updateIfMatchETag", "delete"])
def test_bulk_item_whose_record_is_missing_is_an_error(
    client: httpx.Client, kind: Kind, mode: str
) -> None:
    """The record is neither created nor ignored."""
    response = run(client, kind, mode, [kind.document(etag="IjEi")])

    assert [error["errorCode"] for error in response.json()["errors"]] == [kind.missing]


def test_bulk_delete_needs_only_the_id(client: httpx.Client, kind: Kind) -> None:
    """An etag is ignored."""
    client.put(f"/{kind.path}/rec-1", json=kind.document())

    response = run(client, kind, "delete", [{kind.id_member: "REC-1", "etag": "IjEi"}])

    assert response.json()["isSuccessful"] is True
    assert client.get(f"/{kind.path}/rec-1").status_code == 404


def test_bulk_delete_without_attestation_is_400_if_configured(
    start_dps: StartDps, kind: Kind
) -> None:
    """The option exists because it is unknown whether DPS requires one."""
    _, client = start_dps(delete_needs_attestation=True)
    client.put(f"/{kind.path}/rec-1", json=kind.document())

    bare = run(client, kind, "delete", [{kind.id_member: "rec-1"}])
    whole = run(client, kind, "delete", [kind.document()])

    assert (bare.status_code, whole.json()["isSuccessful"]) == (400, True)


ITEM = ENROLLMENT.document()


@pytest.mark.parametrize(
    "body",
    [
        {"mode": "upsert", "enrollments": [ITEM]},
        {"enrollments": [ITEM]},
        {"mode": "create"},
        {"mode": "create", "enrollmentGroups": [ITEM]},
        {"mode": "create", "enrollments": []},
        {"mode": "create", "enrollments": [ITEM, "text"]},
        {"mode": "create", "enrollments": [ENROLLMENT.document(None)]},
        {"mode": "create", "enrollments": [ENROLLMENT.document("a"), ENROLLMENT.document("A")]},
        {"mode": "create", "enrollments": [ENROLLMENT.document(f"{n}") for n in range(11)]},
    ],
)
def test_invalid_bulk_call_is_400(client: httpx.Client, body: dict[str, Any]) -> None:
    """Unknown mode, no items, too many, or an id missing or given twice: nothing is written."""
    response = client.post("/enrollments", json=body)

    assert (response.status_code, response.json()["errorCode"]) == (400, 400004)
    assert client.post("/enrollments/query", json={"query": "*"}).json() == []


def register(client: httpx.Client, id_: str = "dev-1", **members: Any) -> None:
    """Stores a registration state through the control endpoint."""
    client.post("/_registrations", json={"registrationId": id_} | members).raise_for_status()


def test_registration_state_has_the_recorded_members(client: httpx.Client) -> None:
    """The members are in the recorded order, without the group."""
    register(client, enrollmentGroupId="group-1", assignedHub="hub-1.azure-devices.net")

    response = client.get("/registrations/DEV-1")

    assert list(response.json()) == [
        "registrationId",
        "createdDateTimeUtc",
        "assignedHub",
        "deviceId",
        "status",
        "substatus",
        "lastUpdatedDateTimeUtc",
        "etag",
    ]
    assert response.json()["status"] == "assigned"


def test_failed_registration_state_has_an_error(client: httpx.Client) -> None:
    """The state has code and message, but no device id."""
    register(client, status="failed", errorCode=400207, errorMessage="Custom allocation failed")

    response = client.get("/registrations/dev-1").json()

    assert (response["errorCode"], response["errorMessage"]) == (400207, "Custom allocation failed")
    assert "deviceId" not in response


def test_enrollment_contains_the_registration_state(client: httpx.Client) -> None:
    """The state is the one that the registration route returns."""
    client.put("/enrollments/dev-1", json=ENROLLMENT.document("dev-1"))
    register(client, payload={"a": None})

    state = client.get("/enrollments/dev-1").json()["registrationState"]

    assert state == client.get("/registrations/dev-1").json()
    assert state["payload"] == {"a": None}


@pytest.mark.parametrize("body", [{}, {"json": {"query": "*"}}, {"content": "text"}])
def test_registration_query_finds_those_of_the_group(
    client: httpx.Client, body: dict[str, Any]
) -> None:
    """The request may have a body; the group id is case-insensitive."""
    register(client, "dev-1", enrollmentGroupId="group-1")
    register(client, "dev-2", enrollmentGroupId="group-2")

    response = client.post("/registrations/GROUP-1/query", **body)

    assert [state["registrationId"] for state in response.json()] == ["dev-1"]
    assert response.headers["x-ms-item-type"] == "DeviceRegistration"


def test_registration_query_has_pages(client: httpx.Client) -> None:
    """A continuation token is valid for this group only."""
    for n in range(3):
        register(client, f"dev-{n}", enrollmentGroupId="group-1")
    first = client.post("/registrations/group-1/query", headers={"x-ms-max-item-count": "2"})
    token = {"x-ms-continuation": first.headers["x-ms-continuation"]}

    second = client.post("/registrations/group-1/query", headers=token)
    other = client.post("/registrations/group-2/query", headers=token)

    assert (len(first.json()), len(second.json())) == (2, 1)
    assert other.json()["errorCode"] == 400000


def test_registration_query_of_an_unknown_group_is_empty(client: httpx.Client) -> None:
    """A query of an unknown group is not an error."""
    response = client.post("/registrations/nobody/query")

    assert (response.status_code, response.json()) == (200, [])


def test_delete_of_a_group_keeps_its_registrations(client: httpx.Client) -> None:
    """Registrations remain after the group is deleted, as documented."""
    client.put("/enrollmentGroups/group-1", json=GROUP.document("group-1"))
    register(client, enrollmentGroupId="group-1")

    client.delete("/enrollmentGroups/group-1")

    assert len(client.post("/registrations/group-1/query").json()) == 1


@pytest.mark.parametrize(("etag", "status"), [(None, 204), ("*", 204), ("IjEi", 412), ("x", 400)])
def test_delete_of_a_registration_checks_if_match(
    client: httpx.Client, etag: str | None, status: int
) -> None:
    """Without If-Match the delete is unconditional."""
    register(client)
    headers = {} if etag is None else {"If-Match": etag}

    assert client.delete("/registrations/dev-1", headers=headers).status_code == status


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_missing_registration_is_404(client: httpx.Client, method: str) -> None:
    """A missing registration has its own code."""
    response = client.request(method, "/registrations/nobody")

    assert (response.status_code, response.json()["errorCode"]) == (404, 404202)


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/registrationId"]),
        ([], [""]),
        (
            {"registrationId": "a b", "status": "gone", "hub": "x", "errorCode": "1"},
            ["/errorCode", "/hub", "/registrationId", "/status"],
        ),
    ],
)
def test_invalid_registration_is_400_with_all_problems(
    client: httpx.Client, body: Any, pointers: list[str]
) -> None:
    """The control endpoint reports all problems by JSON Pointer."""
    response = client.post("/_registrations", json=body)

    assert response.status_code == 400
    assert sorted(response.json()["errors"]) == pointers
