"""Lists of rejected messages: entries, masking, filters and pages."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.amqp import AmqpAnnotatedMessage

from local.servicebus import Broker, QueueCounts
from local.servicebus.amqp import encode
from local.servicebus.message import Message as BrokerMessage
from shared.errors import (
    InvalidRequestError,
    QueueRefusedError,
    QueueUnreachableError,
)
from shared.messaging.rejected.model import Filter
from shared.messaging.rejected.service import RejectedMessages
from shared.messaging.sender import MessageSender
from shared.settings import ServiceBusSettings
from tests import secret_factory
from tests.local.servicebus.handlers import leaves_sockets
from tests.shared.messaging.samples import CreateQueues, Put, delete_request

ENQUEUED = datetime(2026, 11, 1, 12, tzinfo=UTC)


async def sequence_numbers(
    rejected: RejectedMessages, *filters: Filter, **options: Any
) -> list[int]:
    """Returns the sequence numbers on a page of the rejected queue."""
    page = await rejected.page(None, *filters, **options)
    return [entry["sequenceNumber"] for entry in page["messages"]]


async def test_entry_has_all_properties_of_a_message(
    rejected: RejectedMessages,
    reject_one: Callable[..., Any],
    messaging: ServiceBusSettings,
    rejected_queue: str,
) -> None:
    """An entry has the reason, the origin and the times."""
    await reject_one(delete_request(), correlation_id="correlation", subject="subject")

    page = await rejected.page()

    [entry] = page["messages"]
    assert page["next"] is None
    assert datetime.fromisoformat(entry.pop("rejectedTimeUtc")) > ENQUEUED
    assert entry == {
        "sequenceNumber": 1,
        "queue": rejected_queue,
        "state": "active",
        "reason": "Invalid",
        "description": "d",
        "errorCode": 400,
        "trackingId": "t",
        "attempt": 1,
        "sourceQueue": messaging.enrollment_requests_queue,
        "sourceMessageId": "first-1",
        "messageId": f"parked-{messaging.enrollment_requests_queue}-1",
        "correlationId": "correlation",
        "subject": "subject",
        "enqueuedTimeUtc": ENQUEUED.isoformat(),
        "deliveryCount": 0,
        "size": len(delete_request()),
        "ids": ["dev-1"],
        "body": {"operation": "delete", "registrationId": "dev-1"},
    }


@pytest.mark.long
async def test_dead_letter_has_its_reason(
    rejected: RejectedMessages,
    client: ServiceBusClient,
    put: Put,
    requests_queue: str,
) -> None:
    """The reason is the one given when the message was dead-lettered."""
    await put(requests_queue, ServiceBusMessage(delete_request()))
    async with client.get_queue_receiver(requests_queue) as receiver:
        [message] = await receiver.receive_messages(1, max_wait_time=5)
        await receiver.dead_letter_message(message, reason="Bad", error_description="because")

    page = await rejected.page(f"{requests_queue}/$deadletterqueue")

    [entry] = page["messages"]
    assert (entry["reason"], entry["description"]) == ("Bad", "because")
    assert entry["queue"] == f"{requests_queue}/$DeadLetterQueue"


@pytest.mark.long
async def test_queue_paths_are_of_all_queues_of_the_app(
    rejected: RejectedMessages, messaging: ServiceBusSettings
) -> None:
    """The queue paths are the rejected queue and every dead-letter queue."""
    queues = (
        *messaging.input_queues,
        messaging.enrollment_rejected_queue,
        messaging.enrollment_results_queue,
    )

    dead_letters = [f"{queue}/$DeadLetterQueue" for queue in queues]

    assert list(rejected.queue_paths) == [messaging.enrollment_rejected_queue, *dead_letters]
    for queue_path in rejected.queue_paths:
        assert (await rejected.page(queue_path))["messages"] == []


async def test_input_queues_cannot_be_listed(
    rejected: RejectedMessages, requests_queue: str
) -> None:
    """The messages of an input queue are not rejected."""
    with pytest.raises(InvalidRequestError) as caught:
        await rejected.page(requests_queue)

    assert list(caught.value.faults) == ["queue"]


async def test_keys_are_masked(rejected: RejectedMessages, reject_one: Callable[..., Any]) -> None:
    """Keys are masked as members, in JSON nested as text, and in a CloudEvent's payload."""
    key = secret_factory.symmetric_key()
    mechanism = {"type": "symmetricKey", "symmetricKey": {"primaryKey": key}}
    enrollment = {"registrationId": "dev-1", "attestation": mechanism}
    await reject_one(json.dumps({"enrollment": enrollment}).encode())
    await reject_one(json.dumps({"data": json.dumps(enrollment)}).encode())
    await reject_one(json.dumps({"specversion": "1.0", "data_base64": key}).encode())
    await reject_one(json.dumps(json.dumps(enrollment)).encode())
    await reject_one(json.dumps(enrollment).encode()[:-1])

    page = await rejected.page()

    assert len(page["messages"]) == 5
    assert key not in json.dumps(page)
    masked = page["messages"][0]["body"]["enrollment"]["attestation"]["symmetricKey"]
    assert masked == {"primaryKey": "****"}


# Misplaced or misnamed secrets, of which no text around them says what they are.
MISSHAPEN: list[Any] = [
    {"attestation": "{}"},
    {"Attestation": {"symmetricKey": "{}"}},
    {"attestation": {"symmetricKey": ["{}", {"primary": "{}"}]}},
    {"attestation": {"key": "{}", "{}": 1, "nested": {"{}": ["{}"]}}},
    {"attestation": {"type": "{}"}},
    {"atte\u017ftation": {"type": "{}"}},  # the same when its case is folded, as it is in requests
    {"initialTwin": {"tags": {"wifiPassword": "{}", "api_key": "{}", "TOKEN": ["{}"]}}},
    {"tags": {"client-secret": {"value": "{}"}, "Device Key": "{}", "sharedAccessX": "{}"}},
    {"tags": {"dbCredentials": "{}", "connectionString2": "{}", "sasSignature": "{}"}},
    {"webhookUrl": "https://u:{}@a.example/x?x={}#{}"},
    {"tags": {"link": "see https://a.example/x#{} and https://{}@b.example"}},
    {"url": "a.example/x?code= {} {}"},
    {"note": '{"attestation": {"symmetricKey": "{}"'},
    {"note": '{"wifi": {"password": "{}"}}'},
    {"note": "password={}; api-key: {}, Authorization: Basic {}"},
    [[{"attestation": ["{}"]}]],
]


@pytest.mark.parametrize("position", range(len(MISSHAPEN)))
async def test_secrets_are_masked_by_place_and_name(
    rejected: RejectedMessages, reject_one: Callable[..., Any], position: int
) -> None:
    """Whatever the shape is, and although the secret does not look like one."""
    secret = f"pin{secret_factory.function_key()[:12]}"
    await reject_one(json.dumps(MISSHAPEN[position]).replace("{}", secret).encode())

    page = await rejected.page()

    assert secret not in json.dumps(page)
    assert "****" in json.dumps(page)


async def test_what_is_no_secret_is_shown(
    rejected: RejectedMessages, reject_one: Callable[..., Any]
) -> None:
    """Ids, etags, tags, the shape of an attestation and URLs without a query are shown."""
    body = {
        "operation": "update",
        "ifMatch": "IjAxMDBhYmNkLTAwMDAtMGQwMC0wMDAwLTY1ZjAwMDAwMDAwMCI=",
        "enrollment": {
            "registrationId": "press-0117-Graz-Line4-a",
            "attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": None}},
            "customAllocationDefinition": {"webhookUrl": "https://a.example/x"},
            "initialTwin": {"tags": {"plant": "graz", "key": "a", "mail": "a@b.example"}},
            "iotHubs": ["hub-1.azure-devices.net"],
        },
        "trace": "8e1f3d0c-2f7a-4c7e-9f0a-1b2c3d4e5f60",
        "note": "/enrollment/attestation/x509/clientCertificates/primary must be set = now",
    }
    await reject_one(json.dumps(body).encode())

    [entry] = (await rejected.page())["messages"]

    assert entry["body"] == body


@pytest.mark.parametrize("name", ["subject", "correlation_id", "reason"])
async def test_keys_in_properties_are_masked(
    rejected: RejectedMessages, reject_one: Callable[..., Any], name: str
) -> None:
    """A key is recognised by its form, as far as it is base64 of random bytes."""
    keys = [secret_factory.symmetric_key(size) for size in (16, 32, 48, 64)]
    for key in keys:
        await reject_one(delete_request(), **{name: key})

    page = await rejected.page()

    assert not any(key in json.dumps(page) for key in keys)


PRICE: dict[str | bytes, Any] = {"price": Decimal("1.5"), "reason": "Bad"}
UNDECODABLE = {
    "application property price": ServiceBusMessage(delete_request(), application_properties=PRICE),
    "annotation x-opt-price": AmqpAnnotatedMessage(
        data_body=delete_request(), annotations={"x-opt-price": Decimal("1.5")}
    ),
    "body": AmqpAnnotatedMessage(value_body={"price": Decimal("1.5")}),
}


@pytest.mark.parametrize("part", UNDECODABLE)
async def test_undecodable_message_hides_no_others(
    rejected: RejectedMessages, put: Put, rejected_queue: str, part: str
) -> None:
    """The entry names what the SDK cannot decode (Azure/azure-sdk-for-python, issue 38717)."""
    good = ServiceBusMessage(delete_request())
    await put(rejected_queue, good, UNDECODABLE[part], good)

    first, second, third = (await rejected.page())["messages"]

    assert [entry["sequenceNumber"] for entry in (first, second, third)] == [1, 2, 3]
    assert second["undecodable"] == [part]
    assert "undecodable" not in {*first, *third}


@pytest.mark.parametrize(
    "value", [b"\x73\0\0\0A", b"\x74" + bytes(4), b"\x84" + bytes(8)], ids=["char", "32", "64"]
)
async def test_types_that_the_sdk_does_not_know_are_passed(
    broker: Broker, rejected: RejectedMessages, rejected_queue: str, value: bytes
) -> None:
    """A character, and decimals of 32 and 64 bits; the rest of the message is read."""
    properties = encode.map_(
        (encode.string("grade"), value), (encode.string("reason"), encode.string("Bad"))
    )
    raw = encode.described(0x74, properties) + encode.described(0x75, encode.binary(b"{}"))
    queue = broker._namespace.queue(rejected_queue)  # noqa: SLF001  the SDK cannot send these types
    broker._call(lambda: queue.put([BrokerMessage(raw)]))  # noqa: SLF001

    [entry] = (await rejected.page())["messages"]

    assert entry["undecodable"] == ["application property grade"]
    assert (entry["reason"], entry["body"]) == ("Bad", {})


async def test_unreadable_body_has_length_and_hash(
    rejected: RejectedMessages, reject_one: Callable[..., Any]
) -> None:
    """The entry says why the body cannot be parsed."""
    faults = {
        b'{"registrationId": "dev-1"': "is not JSON: Expecting ',' delimiter (line 1, column 27)",
        b"\xff": "is not UTF-8",
        b"": "is empty, but a JSON document is required",
        b"42": "must be an object or a list",
        b'"text"': "is a string, and its text is not JSON: Expecting value (line 1, column 1)",
        b'{"secret": 1, "secret": 2}': "must not appear more than once",
    }
    for body in faults:
        await reject_one(body)

    entries = (await rejected.page())["messages"]

    assert [entry["body"] for entry in entries] == [None] * len(faults)
    assert [entry["unreadableBody"] for entry in entries] == [
        {"length": len(body), "sha256": hashlib.sha256(body).hexdigest(), "fault": fault}
        for body, fault in faults.items()
    ]


async def test_ids_are_of_all_records_in_the_body(
    rejected: RejectedMessages, reject_one: Callable[..., Any]
) -> None:
    """The ids are found wherever a request has them."""
    bodies = [
        {"enrollment": {"registrationId": "a"}},
        {"enrollmentGroup": {"enrollmentGroupId": "a"}},
        {"enrollments": [{"registrationId": "a"}, 7, {"registrationId": "b"}]},
        {"enrollmentGroups": [{"enrollmentGroupId": "a"}]},
        {"specversion": "1.0", "data": {"registrationId": "a"}},
        [{"registrationId": "a"}],
        {"registrationId": 7, "enrollments": 7},
    ]
    for body in bodies:
        await reject_one(json.dumps(body).encode())

    entries = (await rejected.page())["messages"]

    ids = [["a"], ["a"], ["a", "b"], ["a"], ["a"], [], []]
    assert [entry["ids"] for entry in entries] == ids


async def test_amqp_value_bodies_are_read(
    rejected: RejectedMessages, put: Put, rejected_queue: str
) -> None:
    """AMQP bodies other than bytes are read; Azure's SDKs send them only on demand."""
    await put(
        rejected_queue,
        AmqpAnnotatedMessage(value_body='{"registrationId": "a"}'),
        AmqpAnnotatedMessage(value_body={"registrationId": "b"}),
        AmqpAnnotatedMessage(value_body=None),
        AmqpAnnotatedMessage(sequence_body=[{"registrationId": "c"}, 7]),
    )

    first, second, third, fourth = (await rejected.page())["messages"]

    assert (first["ids"], second["ids"], third["size"]) == (["a"], ["b"], 0)
    assert fourth["body"] == [{"registrationId": "c"}, 7]


@pytest.mark.long
async def test_pages_follow_each_other(
    rejected: RejectedMessages, reject_one: Callable[..., Any]
) -> None:
    """`next` leads from page to page; the last page has none."""
    for number in range(5):
        await reject_one(delete_request(f"dev-{number}"))

    first = await rejected.page(top=3)
    second = await rejected.page(top=3, start=first["next"])

    assert [len(page["messages"]) for page in (first, second)] == [3, 2]
    assert second["next"] is None


async def test_page_is_limited_in_messages_read(
    messaging: ServiceBusSettings, sender: MessageSender, reject_one: Callable[..., Any]
) -> None:
    """A page may be empty before the last if few messages match."""
    for number in range(5):
        await reject_one(delete_request(f"dev-{number}"))
    rejected = RejectedMessages(messaging, sender, limit=4)

    first = await rejected.page(None, Filter(id="dev-4"))
    second = await rejected.page(None, Filter(id="dev-4"), start=first["next"])

    assert (first["messages"], first["next"]) == ([], 5)
    assert [entry["ids"] for entry in second["messages"]] == [["dev-4"]]


@pytest.mark.long
async def test_filter_by_reason_id_and_age(
    rejected: RejectedMessages, reject_one: Callable[..., Any]
) -> None:
    """The id is case-insensitive; a time without zone is UTC."""
    await reject_one(delete_request("dev-1"), reason="Invalid")
    await reject_one(delete_request("dev-2"), reason="Conflict")
    later = datetime.now(UTC) + timedelta(minutes=1)

    assert await sequence_numbers(rejected, Filter(reason="Conflict")) == [2]
    assert await sequence_numbers(rejected, Filter(id="DEV-1")) == [1]
    assert await sequence_numbers(rejected, Filter(reason="Conflict", id="dev-1")) == []
    assert await sequence_numbers(rejected, Filter(older_than=later)) == [1, 2]
    assert await sequence_numbers(rejected, Filter(older_than=later.replace(tzinfo=None))) == [1, 2]
    assert await sequence_numbers(rejected, Filter(older_than=timedelta(hours=1))) == []


@pytest.mark.long
async def test_listing_does_not_count_as_delivery(
    broker: Broker, rejected: RejectedMessages, reject_one: Callable[..., Any], rejected_queue: str
) -> None:
    """The delivery count stays the same although the SDK opens a receiver."""
    await reject_one(delete_request())

    for _ in range(3):
        page = await rejected.page()

    assert page["messages"][0]["deliveryCount"] == 0
    assert broker.queue(rejected_queue) == QueueCounts(active=1)


@leaves_sockets
async def test_missing_queue_is_refused(create_queues: CreateQueues, sender: MessageSender) -> None:
    """The error has the queue's name."""
    settings = create_queues().model_copy(update={"enrollment_rejected_queue": "nowhere"})

    with pytest.raises(QueueRefusedError, match="nowhere"):
        await RejectedMessages(settings, sender).page()


@leaves_sockets
async def test_unresponsive_service_times_out(
    messaging: ServiceBusSettings, sender: MessageSender, broker: Broker
) -> None:
    """A page and a replay both time out."""
    broker.silence()
    rejected = RejectedMessages(messaging, sender, timeout=0.5)

    for call in (rejected.page, rejected.replay):
        with pytest.raises(QueueUnreachableError):
            await call()
