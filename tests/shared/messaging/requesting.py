"""Messages as tests send them."""

import json

from shared.messaging.messages import OutgoingMessage


def message(text: str = "x", **options) -> OutgoingMessage:
    """One whose id is its text."""
    return OutgoingMessage(body=text.encode(), message_id=options.pop("id", text[:50]), **options)


def request(id: str = "dev-1", **members) -> bytes:
    """A request to delete a record."""
    return json.dumps({"operation": "delete", "registrationId": id} | members).encode()
