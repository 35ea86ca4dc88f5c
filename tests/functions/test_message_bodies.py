"""Bodies of queue messages as the libraries of some senders write them."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from azure.servicebus.amqp import AmqpAnnotatedMessage

from local.servicebus import QueueCounts
from local.servicebus.amqp import encode
from tests.functions.queue_stack import REQUESTS, Dps, Queues, until
from tests.functions.samples import (
    CREATE,
    UPDATE,
    bulk_request,
    enrollment,
    enrollment_with_keys,
    request_for,
)
from tests.local.servicebus import wire

_NAMESPACE = b"\x083http://schemas.microsoft.com/2003/10/Serialization/"
STRING, BYTES = b"@\x06string" + _NAMESPACE, b"@\x0cbase64Binary" + _NAMESPACE
"""The start of a body that .NET's DataContractSerializer writes for a string and for bytes."""


def chars_8(text: bytes) -> bytes:
    """Returns the text in a body of old .NET SDKs, for up to 255 bytes."""
    return STRING + b"\x99" + len(text).to_bytes(1, "little") + text


def chars_16(text: bytes) -> bytes:
    """Returns the text in a body of old .NET SDKs, ended by a record of its own."""
    return STRING + b"\x9a" + len(text).to_bytes(2, "little") + text + b"\x01"


def chars_32(text: bytes) -> bytes:
    """Returns the text in a body of old .NET SDKs, for more than 65,535 bytes."""
    return STRING + b"\x9d" + len(text).to_bytes(4, "little") + text


def utf_16_chars(text: bytes) -> bytes:
    """Returns the text in a body of old .NET SDKs, as UTF-16."""
    encoded = text.decode().encode("utf-16-le")
    return STRING + b"\xb9" + len(encoded).to_bytes(2, "little") + encoded


def bytes_8(text: bytes) -> bytes:
    """Returns a byte array in a body of old .NET SDKs: the last bytes have their own record."""
    first, rest = text[:99], text[99:]
    return b"".join((BYTES, b"\x9e", bytes([len(first)]), first, b"\x9f", bytes([len(rest)]), rest))


def json_string(text: bytes) -> bytes:
    """Returns the text as a JSON string."""
    return json.dumps(text.decode()).encode()


def json_string_in_chars(text: bytes) -> bytes:
    """Returns the text as a JSON string in a body of old .NET SDKs."""
    return chars_16(json_string(text))


def byte_order_mark(text: bytes) -> bytes:
    """Returns the text after the byte order mark of UTF-8."""
    return b"\xef\xbb\xbf" + text


def event_with_json_string(text: bytes) -> bytes:
    """Returns an event whose data is the text."""
    attributes = {"specversion": "1.0", "id": "1", "source": "/erp", "type": "Erp.Enrollment"}
    return json.dumps({**attributes, "data": text.decode()}).encode()


FORMS: list[Callable[[bytes], bytes]] = [
    chars_8,
    chars_16,
    chars_32,
    utf_16_chars,
    bytes_8,
    json_string,
    json_string_in_chars,
    byte_order_mark,
    event_with_json_string,
]


def _name(form: Callable[[bytes], bytes]) -> str:
    return form.__name__


@pytest.mark.parametrize("form", FORMS, ids=_name)
def test_request_is_unwrapped(
    queues: Queues, queue_dps: Dps, form: Callable[[bytes], bytes]
) -> None:
    """It is applied as if the JSON had been sent as it is."""
    record = enrollment(initialTwin={"tags": {"plant": "Köln"}})

    queues.request(form(json.dumps({"operation": CREATE, "enrollment": record}).encode()))

    assert queues.outcomes()[0]["status"] == "succeeded"
    assert queue_dps.stored(record)["initialTwin"]["tags"] == {"plant": "Köln"}


@pytest.mark.parametrize("form", [chars_16, json_string], ids=_name)
def test_bulk_request_is_unwrapped(queues: Queues, form: Callable[[bytes], bytes]) -> None:
    """Every record is applied, and the one that is refused has a message of its own."""
    records = (enrollment("a"), {"registrationId": "b"}, enrollment("c"))

    queues.bulk(form(json.dumps(bulk_request(CREATE, *records)).encode()))

    outcomes = {outcome["registrationId"]: outcome["status"] for outcome in queues.outcomes(3)}
    assert outcomes == {"a": "succeeded", "b": "rejected", "c": "succeeded"}
    assert json.loads(queues.rejected()[0]["body"]) == bulk_request(CREATE, records[1])


@pytest.mark.parametrize("form", [chars_16, json_string], ids=_name)
def test_rejected_request_is_listed_and_patched(
    queues: Queues, queue_app: httpx.Client, queue_dps: Dps, form: Callable[[bytes], bytes]
) -> None:
    """Its JSON is listed, with keys masked, and a merge patch is for this JSON."""
    record = enrollment_with_keys()
    queues.request(form(json.dumps({"operation": UPDATE, "enrollment": record}).encode()))
    queues.rejected()

    response = queue_app.get("/rejected")
    [entry] = response.json()["messages"]
    replayed = {"sequenceNumber": entry["sequenceNumber"], "patch": {"operation": CREATE}}
    queue_app.post("/rejected/replay", json=replayed).raise_for_status()

    keys = record["attestation"]["symmetricKey"].values()
    assert entry["ids"] == ["dev-1"]
    assert not any(key in response.text for key in keys)
    assert queues.outcomes(2)[-1]["status"] == "succeeded"
    assert set(queue_dps.keys(record).values()) == set(keys)


_JSON = json.dumps(request_for(CREATE)).encode()
BINARY_XML = "is binary XML of .NET's DataContractSerializer"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"@\x05Order" + _NAMESPACE + b"\x01", BINARY_XML, id="object"),
        pytest.param(STRING + b"\x99\xff{}", BINARY_XML, id="cut off"),
        pytest.param(STRING + b"\xa8" * 5000 + b"\x01", BINARY_XML, id="endless"),
        pytest.param(STRING + b"\xb7\x01{", BINARY_XML, id="half a character"),
        pytest.param(b'"dev-1"', "is a string, and its text is not JSON", id="text"),
        pytest.param(_JSON.decode().encode("utf-16"), "is UTF-16; send it in UTF-8", id="UTF-16"),
        pytest.param(_JSON.decode().encode("utf-16-le"), "is UTF-16", id="UTF-16, no mark"),
        pytest.param(_JSON.decode().encode("utf-16-be"), "is UTF-16", id="UTF-16, big-endian"),
        pytest.param(gzip.compress(_JSON), "is compressed", id="gzip"),
        pytest.param(b"<string>{}</string>", "is XML; send JSON", id="XML"),
    ],
)
def test_other_format_is_rejected_by_name(queues: Queues, body: bytes, reason: str) -> None:
    """The description says what the body is."""
    queues.request(body)

    [rejected] = queues.rejected()
    assert rejected["properties"]["reason"] == "InvalidRequest"
    assert f"The body {reason}" in rejected["properties"]["description"]
    assert rejected["body"] == body


def test_message_without_a_body_is_rejected(queues: Queues) -> None:
    """The host passes it on with an empty body, also if the body is an AMQP null."""
    null: Any = AmqpAnnotatedMessage(value_body=None)
    queues.send(REQUESTS, null)
    with wire.connected(queues.broker) as client:
        section = encode.described(0x77, encode.NULL)
        client.sendall(wire.opening() + wire.attach(REQUESTS) + wire.transfer(section))
        wire.read(client, until=wire.DISPOSITION)

    copies = queues.rejected(2)

    assert {copy["properties"]["reason"] for copy in copies} == {"InvalidRequest"}
    assert queues.broker.statistics.abandoned == 0


@pytest.mark.parametrize(
    "value", [_JSON.decode(), _JSON, json.loads(_JSON)], ids=["text", "binary", "map"]
)
def test_amqp_value_is_replayed_from_the_dead_letters(
    queues: Queues, queue_app: httpx.Client, queue_dps: Dps, value: Any
) -> None:
    """The host cannot pass on an AMQP value; the app reads it, and sends it again as data."""
    sent: Any = AmqpAnnotatedMessage(value_body=value)
    queues.send(REQUESTS, sent)
    until(lambda: queues.broker.queue(REQUESTS).dead_lettered == 1)

    report = queue_app.post(
        "/rejected/replay", json={"queue": f"{REQUESTS}/$DeadLetterQueue"}
    ).json()

    assert report["replayed"] == 1
    assert queues.outcomes()[0]["status"] == "succeeded"
    assert queue_dps.get(enrollment())
    assert queues.broker.queue(REQUESTS) == QueueCounts()
