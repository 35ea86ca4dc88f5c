"""Messages as a queue delivers them, and records to put into them."""

import json
from pathlib import Path
from typing import Any

from shared.messaging.messages import Message

EXAMPLES = Path(__file__).parents[3] / "examples" / "messages"
RECORD = {"registrationId": "dev-1", "attestation": {"type": "symmetricKey"}}
GROUP = {"enrollmentGroupId": "group-1", "attestation": {"type": "symmetricKey"}}
EVENT = {"specversion": "1.0", "id": "e-1", "source": "/erp", "type": "shipped"}
BULK_QUEUE = "bulk-operations"


def message(body: Any, **members: Any) -> Message:
    """A message with this body, a document or bytes, as `enrollment-requests` delivers it."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {"queue": "enrollment-requests", "sequence_number": 7, "message_id": "m-1"}
    return Message(body=raw, **{**named, **members})


def create(**members: Any) -> dict[str, Any]:
    """A sound request, but for the members given."""
    return {"operation": "create", "enrollment": RECORD, **members}


def example(name: str) -> bytes:
    """A file of `examples/messages`."""
    return (EXAMPLES / f"{name}.json").read_bytes()
