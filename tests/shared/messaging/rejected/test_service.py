"""Replay and discard of rejected messages."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient

from local.servicebus import Broker, QueueCounts, Step
from shared.errors import (
    InvalidRequestError,
    MessageNotFoundError,
    MessageTooLargeError,
)
from shared.messaging.rejected.model import Filter
from shared.messaging.rejected.service import RejectedMessages
from shared.messaging.sender import MessageSender
from shared.settings import ServiceBusSettings
from tests import secret_factory
from tests.shared.messaging.samples import Peek, Put, delete_request

# Each opens several connections of the SDK, which takes a second to close one.
pytestmark = pytest.mark.long


async def states(rejected: RejectedMessages) -> dict[str, tuple[str, int]]:
    """Returns state and delivery count of the rejected messages, by record id."""
    entries = (await rejected.page(top=100))["messages"]
    return {entry["ids"][0]: (entry["state"], entry["deliveryCount"]) for entry in entries}


async def test_message_is_replayed_to_its_source_queue(
    broker: Broker,
    rejected: RejectedMessages,
    reject_some: Callable[..., Any],
    messaging: ServiceBusSettings,
    peek: Peek,
) -> None:
    """The copy has no reason, and is marked as a copy."""
    await reject_some("dev-1", queue=messaging.bulk_operations_queue)

    report = await rejected.replay()

    assert report == {
        "replayed": 1,
        "sequenceNumbers": [1],
        "uncompleted": [],
        "failed": {},
        "left": [],
        "deferred": 0,
        "stopped": None,
        "refused": [],
        "next": None,
    }
    assert broker.queue(messaging.enrollment_rejected_queue) == QueueCounts()
    [copy] = await peek(messaging.bulk_operations_queue)
    assert b"".join(copy.body) == delete_request()
    assert copy.message_id == f"replayed-{messaging.enrollment_rejected_queue}-1"
    assert copy.application_properties == {
        b"copyId": copy.message_id.encode(),
        b"sourceMessageId": b"dev-1",
        b"sourceQueue": messaging.bulk_operations_queue.encode(),
    }


async def test_messages_before_the_selected_one_are_deferred_once(
    rejected: RejectedMessages, reject_some: Callable[..., Any], requests_queue: str, peek: Peek
) -> None:
    """The delivery count of these messages is 1, however many replays follow."""
    await reject_some(*(f"dev-{number}" for number in range(40)))

    for id in ("dev-2", "dev-20", "dev-21", "dev-37"):
        report = await rejected.replay(Filter(id=id))
        assert report["replayed"] == 1

    left = await states(rejected)
    assert len(left) == 36
    assert list(left.values()) == [("deferred", 1)] * 34 + [("active", 0)] * 2
    assert len(await peek(requests_queue)) == 4


async def test_deferred_messages_can_be_replayed(
    broker: Broker, rejected: RejectedMessages, reject_some: Callable[..., Any], rejected_queue: str
) -> None:
    """One replay sends deferred and active messages."""
    await reject_some("a", "b", "c", "d")
    await rejected.replay(Filter(id="c"))

    report = await rejected.replay()

    assert (report["replayed"], report["sequenceNumbers"]) == (3, [1, 2, 4])
    assert broker.queue(rejected_queue) == QueueCounts()


async def test_dry_run_changes_nothing(
    broker: Broker, rejected: RejectedMessages, reject_some: Callable[..., Any], rejected_queue: str
) -> None:
    """A dry run reports which messages would be replayed."""
    await reject_some("a", "b")

    report = await rejected.replay(Filter(id="b"), dry_run=True)

    assert (report["replayed"], report["sequenceNumbers"]) == (0, [2])
    assert broker.queue(rejected_queue) == QueueCounts(active=2)


async def test_replay_is_limited_in_messages(
    rejected: RejectedMessages, reject_some: Callable[..., Any]
) -> None:
    """`next` is the sequence number at which to continue."""
    await reject_some("a", "b", "c")

    first = await rejected.replay(max_messages=2)
    second = await rejected.replay(max_messages=2, start=first["next"])

    assert (first["sequenceNumbers"], first["next"]) == ([1, 2], 3)
    assert (second["sequenceNumbers"], second["next"]) == ([3], None)


async def test_message_from_another_queue_is_not_replayed(
    rejected: RejectedMessages, reject_some: Callable[..., Any], put: Put, rejected_queue: str
) -> None:
    """The app has no queue to send the message to."""
    await reject_some("a", queue="elsewhere")
    await put(rejected_queue, ServiceBusMessage(delete_request("b")))
    await reject_some("c")

    report = await rejected.replay()

    assert (report["sequenceNumbers"], report["refused"]) == ([3], [1, 2])
    with pytest.raises(InvalidRequestError):
        await rejected.replay_one(1)


async def test_scheduled_message_is_not_replayed(
    rejected: RejectedMessages, put: Put, rejected_queue: str
) -> None:
    """Service Bus does not deliver a scheduled message before its time."""
    later = datetime.now(UTC) + timedelta(hours=1)
    await put(rejected_queue, ServiceBusMessage(delete_request(), scheduled_enqueue_time_utc=later))

    report = await rejected.replay()

    assert (report["replayed"], report["refused"]) == (0, [1])
    with pytest.raises(InvalidRequestError):
        await rejected.discard(1)


async def test_dead_letter_is_replayed_to_its_queue(
    rejected: RejectedMessages,
    put: Put,
    dead_letter: Callable[..., Any],
    requests_queue: str,
    peek: Peek,
) -> None:
    """The copy has the rest of the message's time to live."""
    message = ServiceBusMessage(delete_request(), message_id="a", time_to_live=timedelta(hours=1))
    await put(requests_queue, message)
    await dead_letter(requests_queue)

    report = await rejected.replay(queue_path=f"{requests_queue}/$DeadLetterQueue")

    assert report["replayed"] == 1
    [copy] = await peek(requests_queue)
    assert copy.application_properties.keys() == {
        b"copyId",
        b"sourceMessageId",
        b"sourceQueue",
        b"enqueuedTimeUtc",
    }
    assert timedelta(minutes=59) < copy.time_to_live <= timedelta(hours=1)


async def test_dead_letter_of_the_rejected_queue_is_replayed(
    rejected: RejectedMessages,
    reject_some: Callable[..., Any],
    dead_letter: Callable[..., Any],
    messaging: ServiceBusSettings,
    peek: Peek,
) -> None:
    """The copy is sent to the source queue of the message."""
    await reject_some("a")
    queue = messaging.enrollment_rejected_queue
    await dead_letter(queue)

    await rejected.replay(queue_path=f"{queue}/$DeadLetterQueue")

    assert len(await peek(messaging.enrollment_requests_queue)) == 1


async def test_replays_run_one_at_a_time(
    rejected: RejectedMessages, reject_some: Callable[..., Any]
) -> None:
    """Two concurrent replays would defer each other's messages."""
    await reject_some("a", "b", "c", "d")

    report = await asyncio.gather(*(rejected.replay(Filter(id=id)) for id in ("d", "a", "c")))

    assert [each["replayed"] for each in report] == [1, 1, 1]
    assert list(await states(rejected)) == ["b"]


async def test_one_message_is_replayed(
    broker: Broker, rejected: RejectedMessages, reject_some: Callable[..., Any], requests_queue: str
) -> None:
    """The sequence number selects the message."""
    await reject_some("a", "b")

    report = await rejected.replay_one(2)

    assert (report["replayed"], report["deferred"]) == (1, 1)
    assert broker.queue(requests_queue) == QueueCounts(active=1)


async def test_body_is_patched(
    rejected: RejectedMessages, reject_some: Callable[..., Any], requests_queue: str, peek: Peek
) -> None:
    """RFC 7396: other members stay, null removes one. The copy has its own id."""
    await reject_some("a")

    await rejected.replay_one(1, merge_patch={"registrationId": "b", "ifMatch": "x", "n": None})

    [copy] = await peek(requests_queue)
    assert json.loads(b"".join(copy.body)) == {
        "operation": "delete",
        "registrationId": "b",
        "ifMatch": "x",
    }
    assert copy.message_id.count("-") > "replayed-rejected-1-1".count("-")


async def test_patch_keeps_keys(
    rejected: RejectedMessages,
    put: Put,
    rejected_queue: str,
    requests_queue: str,
    peek: Peek,
) -> None:
    """Keys are masked only in listings."""
    key = secret_factory.symmetric_key()
    body = json.dumps({"enrollment": {"registrationId": "a", "primaryKey": key}})
    properties: dict[str | bytes, Any] = {"sourceQueue": requests_queue}
    await put(rejected_queue, ServiceBusMessage(body, application_properties=properties))

    await rejected.replay_one(1, merge_patch={"enrollment": {"registrationId": "b"}})

    [copy] = await peek(requests_queue)
    assert json.loads(b"".join(copy.body))["enrollment"]["primaryKey"] == key


async def test_mask_in_a_patch_is_a_fault(
    rejected: RejectedMessages, reject_some: Callable[..., Any], broker: Broker, rejected_queue: str
) -> None:
    """The mask would replace the key."""
    await reject_some("a")
    texts = [{"webhookUrl": "https://a?****"}, "SharedAccessKey=****;EntityPath=b"]
    patch = {"enrollment": {"primaryKey": "****", "list": texts, "x": {"****": 1}}}

    with pytest.raises(InvalidRequestError) as caught:
        await rejected.replay_one(1, merge_patch=patch)

    assert set(caught.value.faults) == {
        "/enrollment/primaryKey",
        "/enrollment/list/0/webhookUrl",
        "/enrollment/list/1",
        "/enrollment/x/****",
    }
    assert broker.queue(rejected_queue) == QueueCounts(active=1)


async def test_unreadable_body_cannot_be_patched(
    rejected: RejectedMessages, put: Put, rejected_queue: str, requests_queue: str
) -> None:
    """The message can be replayed unchanged."""
    properties: dict[str | bytes, Any] = {"sourceQueue": requests_queue}
    await put(rejected_queue, ServiceBusMessage("{", application_properties=properties))

    with pytest.raises(InvalidRequestError, match="cannot be patched"):
        await rejected.replay_one(1, merge_patch={})

    assert (await rejected.replay_one(1))["replayed"] == 1


async def test_too_large_patched_message_stays(
    rejected: RejectedMessages, reject_some: Callable[..., Any], broker: Broker, rejected_queue: str
) -> None:
    """The message can be replayed afterwards."""
    await reject_some("a")

    with pytest.raises(MessageTooLargeError):
        await rejected.replay_one(1, merge_patch={"text": "x" * 300_000})

    assert broker.queue(rejected_queue) == QueueCounts(deferred=1)
    assert (await rejected.replay_one(1))["replayed"] == 1


async def test_one_message_is_discarded(
    broker: Broker, rejected: RejectedMessages, reject_one: Callable[..., Any], rejected_queue: str
) -> None:
    """The messages before it are deferred, which counts as one delivery."""
    for number in range(3):
        await reject_one(delete_request(f"dev-{number}"))

    report = await rejected.discard(3)

    assert (report["discarded"], report["deferred"], report["left"]) == (1, 2, [])
    assert broker.queue(rejected_queue) == QueueCounts(deferred=2)
    assert [entry["deliveryCount"] for entry in (await rejected.page())["messages"]] == [1, 1]


async def test_deferred_message_is_discarded(
    broker: Broker, rejected: RejectedMessages, reject_one: Callable[..., Any], rejected_queue: str
) -> None:
    """The sequence number selects the message."""
    for number in range(3):
        await reject_one(delete_request(f"dev-{number}"))
    await rejected.discard(3)

    report = await rejected.discard(1)

    assert (report["discarded"], report["deferred"]) == (1, 0)
    assert broker.queue(rejected_queue) == QueueCounts(deferred=1)


@pytest.mark.parametrize("number", [1, 3, 10**12])
async def test_unknown_number_is_not_discarded(
    broker: Broker,
    rejected: RejectedMessages,
    reject_one: Callable[..., Any],
    rejected_queue: str,
    number: int,
) -> None:
    """No message is changed."""
    await reject_one(delete_request())
    await reject_one(delete_request())
    await rejected.discard(1)

    with pytest.raises(MessageNotFoundError):
        await rejected.discard(number)

    assert broker.queue(rejected_queue) == QueueCounts(active=1)


async def test_discard_reports_a_lost_lock(
    broker: Broker, rejected: RejectedMessages, reject_one: Callable[..., Any], rejected_queue: str
) -> None:
    """The message is still in the queue."""
    await reject_one(delete_request())
    broker.refuse(Step.SETTLE, "com.microsoft:message-lock-lost", times=1, queue=rejected_queue)

    report = await rejected.discard(1)

    assert (report["discarded"], report["uncompleted"]) == (0, [1])
    assert broker.queue(rejected_queue) == QueueCounts(locked=1)


async def test_locked_message_is_left(
    rejected: RejectedMessages,
    reject_one: Callable[..., Any],
    client: ServiceBusClient,
    rejected_queue: str,
) -> None:
    """The receiver that holds the lock may complete the message."""
    await reject_one(delete_request())
    async with client.get_queue_receiver(rejected_queue) as receiver:
        [message] = await receiver.receive_messages(1, max_wait_time=5)

        report = await rejected.discard(1)

        await receiver.complete_message(message)
    assert (report["discarded"], report["left"]) == (0, [1])


async def test_discard_is_limited_in_messages(
    broker: Broker,
    messaging: ServiceBusSettings,
    sender: MessageSender,
    reject_one: Callable[..., Any],
    rejected_queue: str,
) -> None:
    """The next call continues after the deferred messages."""
    for number in range(5):
        await reject_one(delete_request(f"dev-{number}"))
    rejected = RejectedMessages(messaging, sender, idle_timeout=0.5, limit=3)

    first, second = await rejected.discard(5), await rejected.discard(5)

    assert (first["discarded"], first["left"]) == (0, [5])
    assert (second["discarded"], second["left"]) == (1, [])
    assert broker.queue(rejected_queue) == QueueCounts(deferred=4)
