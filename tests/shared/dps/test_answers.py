"""Reading what DPS answers: both shapes of its errors, and its times to wait."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from shared.dps.answers import read_answer
from shared.errors import DpsBadRequestError, DpsFaultError, DpsThrottledError


def test_error_of_dps_keeps_all_it_says():
    """Code, text, tracking id and info come through."""
    body = b'{"errorCode": 400004, "message": "no", "trackingId": "t", "info": {"a": "b"}}'

    with pytest.raises(DpsBadRequestError) as raised:
        read_answer(400, {}, body)

    error = raised.value
    assert (error.error_code, str(error), error.tracking_id) == (400004, "no", "t")
    assert error.details == {"a": "b"}


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"[" * 100_000, b'{"errorCode": "x"}'])
def test_error_without_a_body_of_dps_still_has_its_status(body):
    """An empty, foreign or broken body does not hide the status."""
    with pytest.raises(DpsFaultError) as raised:
        read_answer(500, {}, body)

    assert (raised.value.status, raised.value.error_code) == (500, None)


@pytest.mark.parametrize("status", [301, 302, 307])
def test_redirect_refuses_nothing(status):
    """DPS sends none: what does, at its address or before it, says nothing of the request."""
    with pytest.raises(DpsFaultError):
        read_answer(status, {"Location": "/login"}, b"<html>")


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"error": "not found"}'])
def test_404_that_is_not_of_dps_says_nothing_of_a_record(body):
    """Whatever else is at the address answers so to every path: no record is gone for that."""
    with pytest.raises(DpsFaultError):
        read_answer(404, {}, body)


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
def test_retry_after_is_read_as_seconds(retry_after, seconds):
    """Seconds are taken; what is neither seconds nor a date is as good as nothing."""
    with pytest.raises(DpsThrottledError) as raised:
        read_answer(429, {"Retry-After": retry_after} if retry_after else {}, b"")

    assert raised.value.retry_after == seconds


def test_answer_with_a_number_that_is_none_is_a_fault():
    """NaN is Python's, not JSON's, and would spoil the answer it is passed on in."""
    with pytest.raises(DpsFaultError):
        read_answer(200, {}, b'{"registrationId": NaN}')


def test_retry_after_may_be_a_date():
    """The other form of RFC 9110 is a date; one that has passed is no wait."""
    later = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)

    waits = []
    for date in (later, "Fri, 01 Jan 2021 00:00:00 GMT"):
        with pytest.raises(DpsThrottledError) as raised:
            read_answer(429, {"Retry-After": date}, b"")
        waits.append(raised.value.retry_after)

    assert 200 < waits[0] <= 300
    assert waits[1] == 0
