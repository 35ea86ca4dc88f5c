"""Responses of DPS: records, both shapes of errors, and Retry-After."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from shared.dps import Record
from shared.dps.responses import parse_response
from shared.errors import DpsBadRequestError, DpsFaultError, DpsThrottledError
from tests.secret_factory import function_key, symmetric_key


def test_error_has_all_members_of_the_response() -> None:
    """Code, message, tracking id and info of the response are members of the error."""
    body = b'{"errorCode": 400004, "message": "no", "trackingId": "t", "info": {"a": "b"}}'

    with pytest.raises(DpsBadRequestError) as raised:
        parse_response(400, {}, body)

    error = raised.value
    assert (error.error_code, str(error), error.tracking_id) == (400004, "no", "t")
    assert error.details == {"a": "b"}


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"[" * 100_000, b'{"errorCode": "x"}'])
def test_error_with_an_unreadable_body_has_the_status(body: bytes) -> None:
    """An empty, foreign or invalid body does not hide the status."""
    with pytest.raises(DpsFaultError) as raised:
        parse_response(500, {}, body)

    assert (raised.value.status, raised.value.error_code) == (500, None)


@pytest.mark.parametrize("status", [301, 302, 307])
def test_redirect_is_a_fault(status: int) -> None:
    """DPS sends no redirects, so one says nothing about the request."""
    with pytest.raises(DpsFaultError):
        parse_response(status, {"Location": "/login"}, b"<html>")


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"error": "not found"}'])
def test_404_without_an_error_of_dps_is_a_fault(body: bytes) -> None:
    """Any web server answers 404 for an unknown path: it does not mean that a record is missing."""
    with pytest.raises(DpsFaultError):
        parse_response(404, {}, body)


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("7", 7.0),
        (None, None),
        ("soon", None),
        ("Sat, 21 Nov 2026 10:00:00", None),
        ("9" * 400, None),
        ("Mon, 01 Jan 99999999999999999999 10:00:00 GMT", None),
        ("²", None),
    ],
)
def test_retry_after_in_seconds(retry_after: str | None, seconds: float | None) -> None:
    """A number of seconds is used; a value that is neither that nor a date is ignored."""
    with pytest.raises(DpsThrottledError) as raised:
        parse_response(429, {"Retry-After": retry_after} if retry_after else {}, b"")

    assert raised.value.retry_after == seconds


def test_response_with_nan_is_a_fault() -> None:
    """NaN is not JSON, and would make the app's own response invalid."""
    with pytest.raises(DpsFaultError):
        parse_response(200, {}, b'{"registrationId": NaN}')


def test_retry_after_as_a_date() -> None:
    """A date is converted to the seconds until then; a date in the past means zero."""
    later = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)

    for date, earliest, latest in ((later, 200, 300), ("Fri, 01 Jan 2021 00:00:00 GMT", 0, 0)):
        with pytest.raises(DpsThrottledError) as raised:
            parse_response(429, {"Retry-After": date}, b"")
        assert raised.value.retry_after is not None
        assert earliest <= raised.value.retry_after <= latest


def test_error_of_a_record_is_masked_except_for_its_id() -> None:
    """Any member may repeat what was sent, such as a webhook URL that the app completed."""
    id = "Device0123456789abcdefAB"  # looks like a key
    text = f"https://a.example/?code={function_key()}"
    item = {"registrationId": id, "errorCode": 400004, "errorStatus": text, "info": {"/url": text}}

    answer = parse_response(200, {}, json.dumps({"errors": [item]}).encode())

    masked = "https://a.example/?****"
    assert answer.document["errors"] == [
        {**item, "errorStatus": masked, "info": {"/url": masked}},
    ]


def test_json_of_a_record_is_complete() -> None:
    """`json.dumps` of a record masks and omits nothing."""
    document = {"registrationId": "a", "attestation": {"symmetricKey": {"primaryKey": "x"}}}

    assert json.loads(json.dumps(Record(document))) == document


def test_text_of_a_record_has_no_keys() -> None:
    """Keys are masked at any depth and in any spelling of their names."""
    key = symmetric_key()
    record = Record(
        registrationId="a",
        attestation={"symmetricKey": {"primaryKey": key, "SecondaryKey": key}},
        tpm=[{"authenticationKey": key, "primary_key": key, "client-secret": key}],
        customAllocationDefinition={"webhookUrl": f"https://x/?code={key}\n{key}"},
    )

    assert key not in f"{record} {record!r}"
    assert json.loads(str(record))["customAllocationDefinition"]["webhookUrl"] == "https://x/?****"


def test_id_and_etag() -> None:
    """The id is that of an individual enrollment or of a group; a record may have neither."""
    assert Record(registrationId="a", etag="e").id == "a"
    assert Record(enrollmentGroupId="g").id == "g"
    assert (Record().id, Record().etag) == (None, None)
