"""Replaying one message, mended if need be."""

import json

import pytest
from azure.servicebus import ServiceBusMessage

from local.servicebus import Broker, QueueCounts
from shared.errors import (
    InvalidRequestError,
    MessageNotFoundError,
    MessageTooLargeError,
)
from tests import secret_factory

# Each opens several connections of the SDK, which takes a second to close one.
pytestmark = pytest.mark.long


async def test_one_message_is_replayed(broker: Broker, rejected, park_some, requests_queue):
    """By its number."""
    await park_some("a", "b")

    told = await rejected.replay_one(2)

    assert (told["replayed"], told["deferred"]) == (1, 1)
    assert broker.queue(requests_queue) == QueueCounts(active=1)


async def test_unknown_number_is_told(rejected):
    """Nothing is touched."""
    with pytest.raises(MessageNotFoundError):
        await rejected.replay_one(1)


async def test_body_is_patched(rejected, park_some, requests_queue, look):
    """RFC 7396: what the patch does not name stays, null removes. The copy has an id of its own."""
    await park_some("a")

    await rejected.replay_one(1, merge_patch={"registrationId": "b", "ifMatch": "x", "n": None})

    [copy] = await look(requests_queue)
    assert json.loads(b"".join(copy.body)) == {
        "operation": "delete",
        "registrationId": "b",
        "ifMatch": "x",
    }
    assert copy.message_id.count("-") > "replayed-rejected-1-1".count("-")


async def test_keys_stay_when_others_are_patched(
    rejected, put, rejected_queue, requests_queue, look
):
    """They are asterisks only where they are shown."""
    key = secret_factory.symmetric_key()
    body = json.dumps({"enrollment": {"registrationId": "a", "primaryKey": key}})
    properties = {"sourceQueue": requests_queue}
    await put(rejected_queue, ServiceBusMessage(body, application_properties=properties))

    await rejected.replay_one(1, merge_patch={"enrollment": {"registrationId": "b"}})

    [copy] = await look(requests_queue)
    assert json.loads(b"".join(copy.body))["enrollment"]["primaryKey"] == key


async def test_asterisks_are_no_patch(rejected, park_some, broker: Broker, rejected_queue):
    """They would take the place of the key that they hide."""
    await park_some("a")
    texts = [{"webhookUrl": "https://a?****"}, "SharedAccessKey=****;EntityPath=b"]
    patch = {"enrollment": {"primaryKey": "****", "list": texts}}

    with pytest.raises(InvalidRequestError) as caught:
        await rejected.replay_one(1, merge_patch=patch)

    assert set(caught.value.faults) == {
        "/enrollment/primaryKey",
        "/enrollment/list/0/webhookUrl",
        "/enrollment/list/1",
    }
    assert broker.queue(rejected_queue) == QueueCounts(active=1)


async def test_unreadable_body_cannot_be_patched(rejected, put, rejected_queue, requests_queue):
    """It can be replayed as it is."""
    properties = {"sourceQueue": requests_queue}
    await put(rejected_queue, ServiceBusMessage("{", application_properties=properties))

    with pytest.raises(InvalidRequestError, match="cannot be patched"):
        await rejected.replay_one(1, merge_patch={})

    assert (await rejected.replay_one(1))["replayed"] == 1


async def test_patched_message_may_be_too_large(
    rejected, park_some, broker: Broker, rejected_queue
):
    """The message stays as it was."""
    await park_some("a")

    with pytest.raises(MessageTooLargeError):
        await rejected.replay_one(1, merge_patch={"text": "x" * 300_000})

    assert broker.queue(rejected_queue) == QueueCounts(deferred=1)
    assert (await rejected.replay_one(1))["replayed"] == 1
