"""Allocation: the built-in policies and custom allocation webhooks."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from local.dps.derived_keys import derived_key
from tests.local.dps.calls import tpm_document
from tests.local.dps.certificates import Certificate, enroll
from tests.local.dps.devices import (
    HUBS,
    Fleet,
    StartFleet,
    Webhook,
    custom,
    json_answer,
    status,
    to_hub,
)

DEVICES = [f"dev-{n}" for n in range(40)]


def register_many(fleet: Fleet, **members: Any) -> list[str]:
    """Registers many devices of one group and returns the hub of each."""
    fleet.enroll_group(**members)
    group_key, _ = fleet.keys_of("/enrollmentGroups/group-1")
    devices = [fleet.device(id_, key=derived_key(group_key, id_)) for id_ in DEVICES]
    return [device.register()["assignedHub"] for device in devices]


@pytest.mark.parametrize("members", [{"allocationPolicy": "hashed"}, {}])
def test_hashed_uses_all_linked_hubs(fleet: Fleet, members: dict[str, Any]) -> None:
    """`hashed` is the default policy."""
    assert set(register_many(fleet, **members)) == set(HUBS)


def test_hashed_keeps_devices_in_the_remaining_hubs(fleet: Fleet) -> None:
    """Only the devices of a removed hub move, also after a reset."""
    before = register_many(fleet)
    fleet.client.post("/_reset")

    after = register_many(fleet, hubs=list(HUBS[:3]))

    remaining = [pair for pair in zip(before, after, strict=True) if pair[0] in HUBS[:3]]
    assert all(old == new for old, new in remaining)


@pytest.mark.parametrize("policy", ["hashed", "static", "geoLatency"])
def test_only_hubs_of_the_enrollment_are_used(fleet: Fleet, policy: str) -> None:
    """A hub that is linked but not in the enrollment gets no device."""
    state = fleet.enroll(allocationPolicy=policy, iotHubs=[HUBS[2]]).register()

    assert state["assignedHub"] == HUBS[2]


def test_deprecated_iot_hub_host_name_is_used(fleet: Fleet) -> None:
    """iotHubHostName has the same effect as iotHubs with one hub."""
    assert fleet.enroll(iotHubHostName=HUBS[3]).register()["assignedHub"] == HUBS[3]


def test_static_without_hubs_uses_the_first_linked_one(fleet: Fleet) -> None:
    """DPS accepts such an enrollment; what it does with it is unknown."""
    assert fleet.enroll(allocationPolicy="static").register()["assignedHub"] == HUBS[0]


def test_geo_latency_uses_the_hub_with_the_lowest_latency(
    start_fleet: StartFleet,
) -> None:
    """A hub without a configured latency is the last choice."""
    fleet = start_fleet(hub_latencies={HUBS[1]: 80, HUBS[2]: 20})

    assert fleet.enroll(allocationPolicy="geoLatency").register()["assignedHub"] == HUBS[2]


def test_geo_latency_hashes_between_hubs_of_equal_latency(
    start_fleet: StartFleet,
) -> None:
    """Hubs of equal latency share the devices."""
    fleet = start_fleet(hub_latencies={HUBS[0]: 20, HUBS[1]: 20})

    assert set(register_many(fleet, allocationPolicy="geoLatency")) == set(HUBS[:2])


@pytest.mark.parametrize("members", [{}, custom("http://127.0.0.1:9/never-called")])
def test_registration_without_linked_hubs_fails(
    start_fleet: StartFleet, members: dict[str, Any]
) -> None:
    """The service API shows the same state."""
    fleet = start_fleet(linked_hubs=())

    state = fleet.enroll(**members).register()

    assert (state["status"], state["errorCode"]) == ("failed", 400000)
    assert fleet.registration() == state
    assert "assignedHub" not in state


GROUP_MEMBERS = [
    "enrollmentGroupId",
    "attestation",
    "capabilities",
    "etag",
    "provisioningStatus",
    "reprovisionPolicy",
    "createdDateTimeUtc",
    "lastUpdatedDateTimeUtc",
    "allocationPolicy",
    "iotHubs",
    "customAllocationDefinition",
]


def test_webhook_request_has_the_recorded_members(fleet: Fleet, webhook: Webhook) -> None:
    """The members are in the recorded order, for the first registration of a group's device."""
    webhook.answer_with(to_hub(1))
    device = fleet.enroll_group(
        **custom(webhook.url),
        iotHubs=list(HUBS[:2]),
        capabilities={"iotEdge": False},
        provisioningStatus="enabled",
        reprovisionPolicy={"updateHubAssignment": True, "migrateDeviceData": True},
    )
    stored = fleet.client.get("/enrollmentGroups/group-1").json()

    device.register()

    [request] = webhook.requests
    group = request["enrollmentGroup"]
    assert list(request) == ["enrollmentGroup", "deviceRuntimeContext", "linkedHubs"]
    assert list(group) == GROUP_MEMBERS
    assert group["attestation"] == {"type": "symmetricKey"}
    assert group["createdDateTimeUtc"] == stored["createdDateTimeUtc"]
    assert request["deviceRuntimeContext"] == {"registrationId": "dev-1", "symmetricKey": {}}
    assert request["linkedHubs"] == list(HUBS[:2])


def test_webhook_url_is_called_with_its_query_but_sent_without(
    fleet: Fleet, webhook: Webhook
) -> None:
    """The URL in the request body is masked."""
    webhook.answer_with(to_hub(1))

    fleet.enroll_group(**custom(webhook.url)).register()

    definition = webhook.requests[0]["enrollmentGroup"]["customAllocationDefinition"]
    assert webhook.urls == [webhook.url]
    assert definition == {
        "webhookUrl": webhook.url.replace("code=secret", "****"),
        "apiVersion": "2021-10-01",
    }


def test_masked_webhook_url_that_is_written_back_is_stored(fleet: Fleet, webhook: Webhook) -> None:
    """DPS is not known to restore what it masked: the webhook then gets no key."""
    webhook.answer_with(to_hub(1))
    device = fleet.enroll(**custom(webhook.url))

    fleet.change("/enrollments/dev-1", deviceId="other")
    device.register()

    assert webhook.urls == [webhook.url.replace("code=secret", "****")]


def test_webhook_request_has_the_media_type_of_json(fleet: Fleet, webhook: Webhook) -> None:
    """The Content-Type of the request is that of JSON."""
    webhook.answer_with(to_hub(1))

    fleet.enroll_group(**custom(webhook.url)).register()

    assert webhook.content_types == ["application/json"]


def test_webhook_request_has_the_decoded_etag(fleet: Fleet, webhook: Webhook) -> None:
    """The etag has quotes, unlike the base64 of the service API."""
    webhook.answer_with(to_hub(1))

    fleet.enroll(**custom(webhook.url)).register()

    etag = webhook.requests[0]["individualEnrollment"]["etag"]
    assert (etag[0], etag[-1], etag.count("-")) == ('"', '"', 4)


def test_webhook_request_omits_missing_members(fleet: Fleet, webhook: Webhook) -> None:
    """Without iotHubs in the enrollment, all linked hubs are offered."""
    webhook.answer_with(to_hub(4))

    fleet.enroll(**custom(webhook.url), provisioningStatus=None).register()

    [request] = webhook.requests
    assert list(request["individualEnrollment"]) == [
        "registrationId",
        "attestation",
        "etag",
        "createdDateTimeUtc",
        "lastUpdatedDateTimeUtc",
        "allocationPolicy",
        "customAllocationDefinition",
    ]
    assert request["linkedHubs"] == list(HUBS)


def test_webhook_request_has_the_current_hub(fleet: Fleet, webhook: Webhook) -> None:
    """The hub and the device id are between the registration id and the attestation."""
    webhook.answer_with(to_hub(2))
    device = fleet.enroll(**custom(webhook.url), deviceId="meter-7")
    device.register()

    device.register(payload={"model": "a1"})

    context = webhook.requests[1]["deviceRuntimeContext"]
    assert list(context.items()) == [
        ("registrationId", "dev-1"),
        ("currentIotHubHostName", HUBS[1]),
        ("currentDeviceId", "meter-7"),
        ("symmetricKey", {}),
        ("payload", {"model": "a1"}),
    ]


@pytest.mark.parametrize("payload", [{}, [], "text", 0, False])
def test_webhook_request_has_the_payload_of_the_device(
    fleet: Fleet, webhook: Webhook, payload: Any
) -> None:
    """The payload may be any JSON value."""
    webhook.answer_with(to_hub(1))

    fleet.enroll(**custom(webhook.url)).register(payload=payload)

    assert webhook.requests[0]["deviceRuntimeContext"]["payload"] == payload


def test_webhook_request_has_the_tpm(fleet: Fleet, webhook: Webhook) -> None:
    """The TPM's keys include the storage root key if the device sent it."""
    webhook.answer_with(to_hub(1))
    document = tpm_document("tpm-1") | custom(webhook.url)
    fleet.put("/enrollments/tpm-1", document)
    keys = {**document["attestation"]["tpm"], "storageRootKey": "root"}

    fleet.device("tpm-1", tpm=keys).register()

    assert webhook.requests[0]["deviceRuntimeContext"]["tpm"] == keys


def test_webhook_request_has_the_certificate(
    fleet: Fleet, webhook: Webhook, tmp_path: Path
) -> None:
    """The certificate is base64 of DER; the shape is assumed."""
    webhook.answer_with(to_hub(1))
    own = Certificate.create("dev-1")
    enroll(fleet, own, **custom(webhook.url))

    fleet.device(tls=own.tls(tmp_path)).register()

    details = webhook.requests[0]["deviceRuntimeContext"]["x509"]
    assert details == {"clientCertificate": "".join(own.pem.splitlines()[1:-1])}


TWIN = {"tags": {"site": "north"}, "properties": {"desired": {"rate": 5}}}


def test_webhook_determines_hub_twin_and_payload(fleet: Fleet, webhook: Webhook) -> None:
    """The device receives the payload, and the hub has the twin."""
    webhook.answer_with(to_hub(3, initialTwin=TWIN, payload={"tier": "eu"}))

    state = fleet.enroll(**custom(webhook.url)).register()

    [device] = fleet.hub_devices()
    assert (state["assignedHub"], state["payload"]) == (HUBS[2], {"tier": "eu"})
    assert fleet.registration()["payload"] == {"tier": "eu"}
    assert device == {
        "registrationId": "dev-1",
        "assignedHub": HUBS[2],
        "deviceId": "dev-1",
        "substatus": "initialAssignment",
        "twin": TWIN,
        "payload": {"tier": "eu"},
    }


@pytest.mark.parametrize("more", [{}, {"initialTwin": None, "payload": None}])
def test_webhook_without_a_twin_uses_that_of_the_enrollment(
    fleet: Fleet, webhook: Webhook, more: dict[str, Any]
) -> None:
    """A null initialTwin counts as missing."""
    webhook.answer_with(to_hub(1, **more))

    state = fleet.enroll(**custom(webhook.url), initialTwin=TWIN).register()

    assert fleet.hub_devices()[0]["twin"] == TWIN
    assert "payload" not in state


def test_webhook_may_name_a_hub_in_any_case(fleet: Fleet, webhook: Webhook) -> None:
    """The state has the name of the linked hub."""
    webhook.answer_with(json_answer(iotHubHostName=HUBS[0].upper()))

    assert fleet.enroll(**custom(webhook.url)).register()["assignedHub"] == HUBS[0]


@pytest.mark.parametrize("number", [201, 204, 302, 400, 403, 404, 428])
def test_other_webhook_status_fails_the_registration(
    fleet: Fleet, webhook: Webhook, number: int
) -> None:
    """The message has the status; there is no retry and no device in a hub."""
    webhook.answer_with(status(number))

    state = fleet.enroll(**custom(webhook.url)).register()

    message = f"Custom allocation failed with status code: {number}"
    assert (state["status"], state["errorCode"]) == ("failed", 400207)
    assert state["errorMessage"] == message
    assert (len(webhook.requests), fleet.hub_devices()) == (1, [])


def test_failed_registration_has_the_documented_members(fleet: Fleet, webhook: Webhook) -> None:
    """The state has no hub and no device id; the service API shows the same."""
    webhook.answer_with(status(400))

    state = fleet.enroll(**custom(webhook.url)).register()

    assert list(state) == [
        "registrationId",
        "createdDateTimeUtc",
        "status",
        "errorCode",
        "errorMessage",
        "lastUpdatedDateTimeUtc",
        "etag",
    ]
    assert fleet.registration() == state


@pytest.mark.parametrize(
    "body", ['{"iotHubHostName": null}', '{"iotHubHostName": ""}', "{}", "", "[]", "hub-1"]
)
def test_webhook_response_without_a_hub_is_400208(
    fleet: Fleet, webhook: Webhook, body: str
) -> None:
    """The hub is null, empty or absent, or the body cannot be read."""
    webhook.answer_with(lambda _: web.Response(text=body))

    assert fleet.enroll(**custom(webhook.url)).register()["errorCode"] == 400208


def test_webhook_status_401_is_400209(fleet: Fleet, webhook: Webhook) -> None:
    """A 401 is not retried."""
    webhook.answer_with(status(401))

    state = fleet.enroll(**custom(webhook.url)).register()

    assert (state["errorCode"], len(webhook.requests)) == (400209, 1)


@pytest.mark.parametrize("hub", [HUBS[3], "elsewhere.azure-devices.net"])
def test_webhook_with_a_hub_not_in_linked_hubs_fails(
    fleet: Fleet, webhook: Webhook, hub: str
) -> None:
    """The hub must be in linkedHubs, even if it is linked to the service."""
    webhook.answer_with(json_answer(iotHubHostName=hub))

    state = fleet.enroll(**custom(webhook.url), iotHubs=list(HUBS[:2])).register()

    assert (state["status"], state["errorCode"]) == ("failed", 400207)


def test_disabled_enrollment_does_not_call_the_webhook(fleet: Fleet, webhook: Webhook) -> None:
    """The device is disabled without a call."""
    state = fleet.enroll(**custom(webhook.url), provisioningStatus="disabled").register()

    assert (state["status"], webhook.requests) == ("disabled", [])


@pytest.mark.parametrize("number", [429, 500, 503])
def test_webhook_is_retried_after_429_and_5xx(fleet: Fleet, webhook: Webhook, number: int) -> None:
    """The device is assigned after the retry."""
    webhook.answer_with(status(number), status(number), to_hub(2))

    state = fleet.enroll(**custom(webhook.url)).register()

    assert (state["assignedHub"], len(webhook.requests)) == (HUBS[1], 3)


def test_retry_sends_the_same_request(fleet: Fleet, webhook: Webhook) -> None:
    """The bodies of both attempts are equal."""
    webhook.answer_with(status(503), to_hub(2))

    fleet.enroll(**custom(webhook.url)).register(payload={"n": 1})

    first, second = webhook.requests
    assert first == second


@pytest.mark.parametrize("number", [429, 502])
def test_registration_fails_after_ten_retries(fleet: Fleet, webhook: Webhook, number: int) -> None:
    """The message has the last status."""
    webhook.answer_with(status(number))

    state = fleet.enroll(**custom(webhook.url)).register()

    message = f"Custom allocation failed with status code: {number}"
    assert (state["errorCode"], state["errorMessage"]) == (400207, message)
    assert len(webhook.requests) == 11


def test_unreachable_webhook_fails_the_registration(fleet: Fleet) -> None:
    """After the last retry the registration fails with 400207."""
    state = fleet.enroll(**custom("http://127.0.0.1:9/nobody")).register()

    assert (state["status"], state["errorCode"]) == ("failed", 400207)


@pytest.mark.parametrize("url", ["no url", "ftp://127.0.0.1/x", "http://"])
def test_invalid_webhook_url_fails_the_registration(fleet: Fleet, url: str) -> None:
    """The registration ends instead of staying in progress."""
    assert fleet.enroll(**custom(url)).register()["status"] == "failed"


def test_webhook_is_retried_after_a_timeout(start_fleet: StartFleet, webhook: Webhook) -> None:
    """Each attempt times out after `webhook_seconds`."""
    fleet = start_fleet(webhook_seconds=0.2)

    async def hang(_: Any) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    webhook.answer_with(hang, to_hub(2))

    assert fleet.enroll(**custom(webhook.url)).register()["assignedHub"] == HUBS[1]


def test_time_between_retries_grows(start_fleet: StartFleet, webhook: Webhook) -> None:
    """1 s, then 9 s more each time: three retries at a hundredth take at least 0.3 s."""
    fleet = start_fleet(retry_scale=0.01)
    webhook.answer_with(status(503), status(503), status(503), to_hub(2))
    started = time.monotonic()

    fleet.enroll(**custom(webhook.url)).register()

    assert time.monotonic() - started >= (1 + 10 + 19) * 0.01


def test_stop_does_not_wait_for_a_retry(start_fleet: StartFleet, webhook: Webhook) -> None:
    """A registration in progress ends with the stand-in."""
    webhook.answer_with(status(503))
    fleet = start_fleet(retry_scale=1000)

    response = fleet.enroll(**custom(webhook.url)).put()

    # The fixture stops the stand-in, and fails if that takes more than ten seconds.
    assert response.status_code == 202
