"""A message that is copied, and what its copies carry."""

from datetime import UTC, datetime, timedelta

from shared.messaging.copies import Reason
from shared.messaging.messages import Message

REASON = Reason(reason="Invalid", description="Wrong.", error_code=400004, tracking_id="track")
ENQUEUED = datetime(2026, 11, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

MESSAGE = Message(
    body=b'{"registrationId": "dev-1"}',
    queue="requests",
    sequence_number=7,
    message_id="first",
    content_type="application/json",
    correlation_id="correlation",
    subject="subject",
    reply_to="replies",
    enqueued_time_utc=ENQUEUED,
    application_properties={"tenant": "a", b"bytes": b"\xc3\xa9", b"binary": b"\xff"},
)
FIRST_OF_CHAIN = {
    "sourceMessageId": "first",
    "sourceQueue": "requests",
    "enqueuedTimeUtc": ENQUEUED.isoformat(),
}
CARRIED = {"tenant": "a", "bytes": "é", "binary": b"\xff"}
