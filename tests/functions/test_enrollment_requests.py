"""Messages for one record each: what they ask is done, and their senders are told."""

import json
from typing import Any
from uuid import UUID

import pytest

from tests.functions.queue_messages import Document, data, message
from tests.functions.queue_requests import (
    CREATE,
    DELETE,
    UPDATE,
    UPSERT,
    Dps,
    asked,
    enrollment,
    group,
)
from tests.functions.queue_stack import Queues

RECORDS = [
    pytest.param("enrollment", enrollment, id="enrollment"),
    pytest.param("enrollmentGroup", group, id="group"),
]
ATTRIBUTES = {"specversion": "1.0", "id": "e-1", "source": "/erp", "type": "shipped"}


def plain(request: Document) -> dict[str, Any]:
    """A request as it is."""
    return {"body": request}


def structured(request: Document) -> dict[str, Any]:
    """A request in a CloudEvent."""
    return {"body": {**ATTRIBUTES, "data": request}, "content_type": "application/cloudevents+json"}


def binary(request: Document) -> dict[str, Any]:
    """A request with a CloudEvent in its properties."""
    properties = {f"cloudEvents:{name}": value for name, value in ATTRIBUTES.items()}
    return {
        "body": request,
        "application_properties": properties,
        "content_type": "application/json",
    }


@pytest.mark.parametrize("form", [plain, structured, binary])
@pytest.mark.parametrize(("member", "record"), RECORDS)
def test_life_of_a_record(queues: Queues, dps_of_queues: Dps, member: str, record, form):
    """Created, updated, written over and deleted by messages in any form."""
    steps = [
        ({"operation": CREATE, member: record(provisioningStatus="disabled")}, "disabled"),
        ({"operation": UPDATE, member: record(provisioningStatus="enabled")}, "enabled"),
        ({"operation": UPSERT, member: record(provisioningStatus="disabled")}, "disabled"),
        ({"operation": DELETE, member: record()}, None),
    ]
    for number, (request, status) in enumerate(steps, start=1):
        queues.request(**form(request), message_id=f"m-{number}")

        told = data(queues.results(number))[-1]
        stored = dps_of_queues.get(record())

        assert (told["operation"], told["status"]) == (request["operation"], "succeeded")
        assert (stored and stored["provisioningStatus"]) == status


@pytest.mark.parametrize(("member", "record"), RECORDS)
@pytest.mark.parametrize("is_quoted", [False, True], ids=["raw", "quoted"])
def test_etag_that_is_still_the_records_is_honoured(
    queues: Queues, dps_of_queues: Dps, member: str, record, is_quoted
):
    """An update and a delete by the etag that the record has."""

    def written(etag: str) -> str:
        return f'"{etag}"' if is_quoted else etag

    etag = dps_of_queues.put(record())["etag"]
    changed = record(provisioningStatus="disabled")
    queues.request({"operation": UPDATE, member: changed, "ifMatch": written(etag)})
    assert data(queues.results(1))[0]["status"] == "succeeded"
    stored = dps_of_queues.get(record())
    assert stored
    assert stored["provisioningStatus"] == "disabled"

    queues.request({"operation": DELETE, member: record(), "ifMatch": written(stored["etag"])})
    assert data(queues.results(2))[1]["status"] == "succeeded"
    assert dps_of_queues.get(record()) is None


def test_record_that_is_not_there_is_made_by_an_upsert(queues: Queues, dps_of_queues: Dps):
    """An upsert does not ask whether there is one."""
    queues.request(asked(UPSERT))

    queues.results()

    assert dps_of_queues.get(enrollment())


def test_id_alone_deletes_a_group(queues: Queues, dps_of_queues: Dps):
    """A delete needs no record."""
    dps_of_queues.put(group())

    queues.request({"operation": DELETE, "enrollmentGroupId": "group-1"})

    assert data(queues.results())[0]["enrollmentGroupId"] == "group-1"
    assert dps_of_queues.get(group()) is None


def test_result_names_its_request(queues: Queues):
    """By the record, by the correlation id, and by an id of its own."""
    queues.request(asked(CREATE), message_id="erp-4711", correlation_id="order-1")

    [result] = queues.results()

    event = result["event"]
    assert (result["subject"], event["subject"]) == ("dev-1", "dev-1")
    assert result["correlation_id"] == "order-1"
    assert result["message_id"] == event["id"] == str(UUID(event["id"]))
    assert result["content_type"].startswith("application/cloudevents+json")
    assert event["source"] == "/queues/enrollment-requests"
    assert event["data"] == {
        "operation": "create",
        "status": "succeeded",
        "registrationId": "dev-1",
    }


def test_request_without_correlation_id_is_named_by_its_message_id(queues: Queues):
    """So a sender that gives its messages ids can tell their results apart."""
    queues.request(asked(CREATE), message_id="erp-4711")

    assert queues.results()[0]["correlation_id"] == "erp-4711"


def test_etag_is_told_where_dps_tells_it(queues: Queues, dps_of_queues: Dps):
    """A write by itself answers with the record; a bulk call does not."""
    dps_of_queues.put(enrollment())

    queues.request(asked(UPDATE))

    [told] = data(queues.results())
    stored = dps_of_queues.get(enrollment())
    assert stored
    assert told["etag"] == stored["etag"]


def test_message_of_our_documentation_is_understood(queues: Queues, dps_of_queues: Dps):
    """A body in UTF-8, and properties of the sender's that mean nothing here."""
    body = json.dumps(
        asked(CREATE, initialTwin={"tags": {"größe": 1}}), ensure_ascii=False
    ).encode()
    properties = {"plant": "graz", "line": 4}
    queues.send(
        "enrollment-requests", message(body, subject="x", application_properties=properties)
    )

    queues.results()

    stored = dps_of_queues.get(enrollment())
    assert stored
    assert stored["initialTwin"]["tags"] == {"größe": 1}


def test_message_leaves_a_line_in_the_log(queues: Queues, caplog):
    """Of its own invocation, and with what finds the call at DPS."""
    queues.request(asked(CREATE), message_id="erp-4711")
    queues.results()

    [line] = [line for line in caplog.messages if line.startswith("message 'erp-4711'")]
    assert "Succeeded" in line
    assert "DPS call" in line
