"""The message that a function receives has the members it has in Azure's Python worker."""

import uuid
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import azure.functions as func
import pytest

from local.host import Host
from local.servicebus import Broker
from local.threads import in_thread
from tests.local.host.toy_apps import PREAMBLE, Send, Until, loaded_module, write_files

APP = """
seen = []

@app.service_bus_queue_trigger(
    arg_name="message", queue_name="work", connection="ServiceBus",
    data_type=func.DataType.BINARY,
)
async def consume(message: func.ServiceBusMessage, context: func.Context) -> None:
    seen.append((message, context))

@app.service_bus_queue_trigger(arg_name="message", queue_name="text", connection="ServiceBus")
async def consume_text(message: func.ServiceBusMessage) -> None:
    seen.append((message, None))
"""
BODY = b'{"messageId": "of the body", "DeliveryCount": 7, "n": [1], "\xc3\xa4": {"b": true}}'
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

FULL = {
    "message_id": "m-1",
    "content_type": "application/json",
    "correlation_id": "c-1",
    "subject": "a subject",
    "to": "to-1",
    "reply_to": "replies",
    "reply_to_session_id": "s-2",
    "partition_key": "p-1",
    "time_to_live": timedelta(hours=1),
    "application_properties": {"text": "ä", "whole": 1, "real": 1.5, "yes": True, "none": None},
}

# Recorded from Azure's worker (azure-functions-runtime 1.3.0) for the same messages; a type where the
# broker sets the value.
PROPERTIES = {"text": "ä", "whole": 1, "real": 1.5, "yes": True, "none": None}
OF_FULL: dict[str, Any] = {
    "get_body": BODY,
    "application_properties": PROPERTIES,
    "content_type": "application/json",
    "correlation_id": "c-1",
    "dead_letter_error_description": None,
    "dead_letter_reason": None,
    "dead_letter_source": None,
    "delivery_count": 1,
    "enqueued_sequence_number": None,
    "enqueued_time_utc": datetime,
    "expiration_time": datetime,
    "expires_at_utc": datetime,
    "label": "a subject",
    "lock_token": str,
    "locked_until": datetime,
    "message_id": "m-1",
    "metadata": dict,
    "partition_key": "p-1",
    "reply_to": "replies",
    "reply_to_session_id": "s-2",
    "scheduled_enqueue_time": None,
    "scheduled_enqueue_time_utc": None,
    "sequence_number": int,
    "session_id": None,
    "state": None,
    "subject": "a subject",
    "time_to_live": None,
    "to": "to-1",
    "transaction_partition_key": None,
    "user_properties": PROPERTIES,
}
OF_BARE = OF_FULL | {
    "get_body": b"",
    "application_properties": {},
    "content_type": None,
    "correlation_id": None,
    "expiration_time": datetime.max.replace(tzinfo=UTC),
    "expires_at_utc": datetime.max.replace(tzinfo=UTC),
    "label": None,
    "message_id": "m-2",
    "partition_key": None,
    "reply_to": None,
    "reply_to_session_id": None,
    "subject": None,
    "to": None,
    "user_properties": {},
}
# Without data_type BINARY, the members of a JSON body overwrite metadata.
OF_TEXT = OF_FULL | {"message_id": "of the body", "delivery_count": 7}

METADATA = {
    "ApplicationProperties",
    "ContentType",
    "CorrelationId",
    "DeliveryCount",
    "EnqueuedTime",
    "EnqueuedTimeUtc",
    "ExpiresAt",
    "ExpiresAtUtc",
    "Label",
    "LockToken",
    "LockedUntil",
    "MessageId",
    "PartitionKey",
    "ReplyTo",
    "ReplyToSessionId",
    "SequenceNumber",
    "Subject",
    "To",
    "UserProperties",
}


Received = tuple[Any, Any]
"""A message and the context that came with it, as the function received them."""
Get = Callable[..., Awaitable[Received]]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, one_broker: Broker) -> Iterator[list[Received]]:
    """The messages and contexts that the functions received; one host serves the whole module."""
    app_dir = tmp_path_factory.mktemp("app")
    write_files(app_dir, PREAMBLE + APP)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ServiceBus", one_broker.connection_string)
        with in_thread(Host(app_dir, port=0)):
            yield loaded_module(app_dir).seen


@pytest.fixture
def get(seen: list[Received], send: Send, until: Until) -> Get:
    """Sends a message; returns the message and the context that the function received."""

    async def sent(queue: str, body: bytes = b"", **properties: Any) -> Received:
        seen.clear()
        send(queue, body, **properties)
        await until(lambda: seen)
        return seen[0]

    return sent


def members(message: func.ServiceBusMessage) -> dict[str, Any]:
    """Returns the public members of a message with their values, except those that always raise."""
    names = [name for name in OF_FULL if name != "get_body"]
    return {"get_body": message.get_body()} | {name: getattr(message, name) for name in names}


@pytest.mark.parametrize(
    ("queue", "body", "properties", "expected"),
    [
        pytest.param("work", BODY, FULL, OF_FULL, id="full"),
        pytest.param("work", b"", {"message_id": "m-2"}, OF_BARE, id="bare"),
        pytest.param("text", BODY, FULL, OF_TEXT, id="text"),
    ],
)
async def test_members_are_as_in_azure(
    get: Get, queue: str, body: bytes, properties: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Each member has the same type and value as in Azure."""
    message, _ = await get(queue, body, **properties)

    seen = members(message)

    types = {name: kind for name, kind in expected.items() if isinstance(kind, type)}
    assert {name: type(seen[name]) for name in types} == types
    values = {name: value for name, value in expected.items() if name not in types}
    assert {name: seen[name] for name in values} == values
    assert {name: type(seen[name]) for name in values} == {
        name: type(value) for name, value in values.items()
    }


async def test_every_member_is_compared(get: Get) -> None:
    """The expected members are all members of the library's ServiceBusMessage."""
    message, _ = await get("work")

    # Members of azure-functions 2.x that only serialize the others, or are not implemented.
    excluded = {"force_persistence", "to_dict", "to_json"}
    assert {name for name in dir(message) if not name.startswith("_")} - excluded == set(OF_FULL)


async def test_metadata_is_as_in_azure(get: Get) -> None:
    """`metadata` has the members that the Service Bus extension sends, without nulls."""
    message, _ = await get("work", BODY, **FULL)

    assert set(message.metadata) == METADATA
    assert (message.metadata["DeliveryCount"], message.metadata["Label"]) == (1, "a subject")


async def test_times_are_those_of_the_queue(get: Get) -> None:
    """The enqueued, locked-until and expiry times are in UTC and match the queue's options."""
    message, _ = await get("work", BODY, **FULL)

    enqueued = message.enqueued_time_utc
    assert abs(datetime.now(UTC) - enqueued) < timedelta(minutes=1)
    assert abs(message.locked_until - enqueued - timedelta(minutes=1)) < timedelta(seconds=10)
    assert message.expires_at_utc - enqueued == timedelta(hours=1)


async def test_lock_token_is_a_uuid(get: Get) -> None:
    """The lock token is the canonical text of a UUID."""
    message, _ = await get("work")

    assert str(uuid.UUID(message.lock_token)) == message.lock_token


async def test_properties_are_converted_to_json(get: Get) -> None:
    """A UUID property becomes text; a number stays a number."""
    given = {"uuid": uuid.UUID(int=1), "below": -1}

    message, _ = await get("work", application_properties=given)

    assert message.application_properties == {
        "uuid": "00000000-0000-0000-0000-000000000001",
        "below": -1,
    }


async def test_binary_body_is_unchanged(get: Get) -> None:
    """A trigger with data_type BINARY receives the bytes that were sent."""
    message, _ = await get("work", bytes(range(256)))

    assert message.get_body() == bytes(range(256))


async def test_trace_of_the_sender_is_continued(get: Get) -> None:
    """The invocation belongs to the trace in the property `Diagnostic-Id`."""
    _, context = await get("work", application_properties={"Diagnostic-Id": TRACE})

    assert context.trace_context.Traceparent.split("-")[1] == TRACE.split("-")[1]
    assert (context.function_name, context.retry_context.retry_count) == ("consume", 0)
