"""The webhook of a custom allocation: what its answers mean, and its silence."""

import asyncio
import time

import pytest
from aiohttp import web

from tests.local.dps.devices import HUBS, custom, says, status, to_hub

TWIN = {"tags": {"site": "north"}, "properties": {"desired": {"rate": 5}}}


def test_hub_twin_and_payload_of_the_answer_are_used(yard, webhook):
    """The payload goes to the device, the twin to the hub."""
    webhook.will(to_hub(3, initialTwin=TWIN, payload={"tier": "eu"}))

    state = yard.individual(**custom(webhook.url)).register()

    [landed] = yard.landed()
    assert (state["assignedHub"], state["payload"]) == (HUBS[2], {"tier": "eu"})
    assert yard.registration()["payload"] == {"tier": "eu"}
    assert landed == {
        "registrationId": "dev-1",
        "assignedHub": HUBS[2],
        "deviceId": "dev-1",
        "substatus": "initialAssignment",
        "twin": TWIN,
        "payload": {"tier": "eu"},
    }


@pytest.mark.parametrize("more", [{}, {"initialTwin": None, "payload": None}])
def test_without_a_twin_in_the_answer_the_enrollment_s_is_used(yard, webhook, more):
    """Null is as good as absent."""
    webhook.will(to_hub(1, **more))

    state = yard.individual(**custom(webhook.url), initialTwin=TWIN).register()

    assert yard.landed()[0]["twin"] == TWIN
    assert "payload" not in state


def test_a_hub_is_known_without_case(yard, webhook):
    """And called as it is linked."""
    webhook.will(says(iotHubHostName=HUBS[0].upper()))

    assert yard.individual(**custom(webhook.url)).register()["assignedHub"] == HUBS[0]


@pytest.mark.parametrize("number", [201, 204, 302, 400, 403, 404, 428])
def test_any_other_answer_refuses_the_device(yard, webhook, number):
    """With a code and the status; the device is in no hub."""
    webhook.will(status(number))

    state = yard.individual(**custom(webhook.url)).register()

    words = f"Custom allocation failed with status code: {number}"
    assert (state["status"], state["errorCode"]) == ("failed", 400207)
    assert state["errorMessage"] == words
    assert (len(webhook.requests), yard.landed()) == (1, [])


def test_a_failed_registration_has_the_documented_members(yard, webhook):
    """No hub, no device id; the service API shows the same."""
    webhook.will(status(400))

    state = yard.individual(**custom(webhook.url)).register()

    assert list(state) == [
        "registrationId",
        "createdDateTimeUtc",
        "status",
        "errorCode",
        "errorMessage",
        "lastUpdatedDateTimeUtc",
        "etag",
    ]
    assert yard.registration() == state


@pytest.mark.parametrize(
    "body", ['{"iotHubHostName": null}', '{"iotHubHostName": ""}', "{}", "", "[]", "hub-1"]
)
def test_an_answer_without_a_hub_is_400208(yard, webhook, body):
    """Null, empty, absent, or an answer that cannot be read."""
    webhook.will(lambda _: web.Response(text=body))

    assert yard.individual(**custom(webhook.url)).register()["errorCode"] == 400208


def test_an_unauthorized_call_is_400209(yard, webhook):
    """The key of the function is missing or wrong: no second call would be better."""
    webhook.will(status(401))

    state = yard.individual(**custom(webhook.url)).register()

    assert (state["errorCode"], len(webhook.requests)) == (400209, 1)


@pytest.mark.parametrize("hub", [HUBS[3], "elsewhere.azure-devices.net"])
def test_a_hub_that_was_not_offered_fails(yard, webhook, hub):
    """Linked to the service or not."""
    webhook.will(says(iotHubHostName=hub))

    state = yard.individual(**custom(webhook.url), iotHubs=list(HUBS[:2])).register()

    assert (state["status"], state["errorCode"]) == ("failed", 400207)


def test_the_webhook_of_a_disabled_enrollment_is_not_called(yard, webhook):
    """There is nothing to decide."""
    state = yard.individual(**custom(webhook.url), provisioningStatus="disabled").register()

    assert (state["status"], webhook.requests) == ("disabled", [])


@pytest.mark.parametrize("number", [429, 500, 503])
def test_a_webhook_that_is_down_for_a_while_is_carried_through(yard, webhook, number):
    """The device sees nothing of it but that it takes longer."""
    webhook.will(status(number), status(number), to_hub(2))

    state = yard.individual(**custom(webhook.url)).register()

    assert (state["assignedHub"], len(webhook.requests)) == (HUBS[1], 3)


def test_a_retry_asks_the_same_again(yard, webhook):
    """To the letter."""
    webhook.will(status(503), to_hub(2))

    yard.individual(**custom(webhook.url)).register(payload={"n": 1})

    first, second = webhook.requests
    assert first == second


@pytest.mark.parametrize("number", [429, 502])
def test_after_ten_retries_the_registration_fails(yard, webhook, number):
    """With the last status in its words."""
    webhook.will(status(number))

    state = yard.individual(**custom(webhook.url)).register()

    words = f"Custom allocation failed with status code: {number}"
    assert (state["errorCode"], state["errorMessage"]) == (400207, words)
    assert len(webhook.requests) == 11


def test_a_webhook_that_nobody_serves_fails_in_the_end(yard):
    """Silence is taken for a 5xx."""
    state = yard.individual(**custom("http://127.0.0.1:9/nobody")).register()

    assert (state["status"], state["errorCode"]) == ("failed", 400207)


@pytest.mark.parametrize("url", ["no url", "ftp://127.0.0.1/x", "http://"])
def test_a_webhook_url_that_is_none_fails(yard, url):
    """The enrollment may say what it likes; the device must not wait for ever."""
    assert yard.individual(**custom(url)).register()["status"] == "failed"


def test_a_webhook_that_does_not_answer_in_time_is_called_again(yard_with, webhook):
    """After the time that a call may take."""
    yard = yard_with(webhook_seconds=0.2)

    async def hang(_):
        await asyncio.sleep(60)

    webhook.will(hang, to_hub(2))

    assert yard.individual(**custom(webhook.url)).register()["assignedHub"] == HUBS[1]


def test_retries_wait_longer_each_time(yard_with, webhook):
    """A second, then nine more each: at a hundredth, three retries take no less than 0.3 s."""
    yard = yard_with(retry_scale=0.01)
    webhook.will(status(503), status(503), status(503), to_hub(2))
    began = time.monotonic()

    yard.individual(**custom(webhook.url)).register()

    assert time.monotonic() - began >= (1 + 10 + 19) * 0.01


def test_stop_does_not_wait_for_a_retry(yard_with, webhook):
    """A registration under way ends with the stand-in."""
    webhook.will(status(503))
    yard = yard_with(retry_scale=1000)

    reply = yard.individual(**custom(webhook.url)).put()

    # The fixture stops the stand-in, within ten seconds or not at all.
    assert reply.status_code == 202
