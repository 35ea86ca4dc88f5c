"""Requests to send, and records to find in DPS."""

import json
from typing import Any

import httpx

from tests import secret_factory
from tests.functions.queue_messages import Document
from tests.functions.queue_stack import Queues

CREATE, UPDATE, UPSERT, DELETE = "create", "update", "upsert", "delete"
BULK_PATH = {"method": "POST", "path": "^/enrollments$"}
BULK_OF_GROUPS = {"method": "POST", "path": "^/enrollmentGroups$"}


def enrollment(id: str = "dev-1", **members: Any) -> Document:
    """A sound enrollment whose keys DPS makes."""
    return {"registrationId": id, "attestation": {"type": "symmetricKey"}, **members}


def records(number: int, name: str = "dev") -> list[Document]:
    """So many enrollments."""
    return [enrollment(f"{name}-{position}") for position in range(number)]


def body_of(copy: Document) -> list[str]:
    """The ids that a copy asks for."""
    found = json.loads(copy["body"])
    request = found.get("data", found)
    return [record["registrationId"] for record in request["enrollments"]]


def with_keys(id: str = "dev-1", **members: Any) -> Document:
    """A sound enrollment with keys of the sender's."""
    keys = {name: secret_factory.symmetric_key() for name in ("primaryKey", "secondaryKey")}
    return enrollment(id, attestation={"type": "symmetricKey", "symmetricKey": keys}, **members)


def group(id: str = "group-1", **members: Any) -> Document:
    """A sound group."""
    return {"enrollmentGroupId": id, "attestation": {"type": "symmetricKey"}, **members}


def asked(operation: str, id: str = "dev-1", **members: Any) -> Document:
    """A request for one enrollment with these members."""
    if operation == DELETE:
        return {"operation": DELETE, "registrationId": id, **members}
    return {"operation": operation, "enrollment": enrollment(id, **members)}


def failing(status: int = 500, **when: Any) -> Document:
    """A fault of DPS's that strikes bulk calls for enrollments."""
    body = {"errorCode": status * 1000, "message": "DPS's words", "trackingId": "dps-1"}
    return {"match": BULK_PATH, "do": {"status": status, "body": body}, **when}


class Dps:
    """DPS at the test's orders; records are written and read through the app."""

    def __init__(self, queues: Queues) -> None:
        self._stand_in = queues.stack.dps
        self._app = httpx.Client(base_url=queues.stack.host.url, timeout=30)

    def close(self) -> None:
        """Closes the connections."""
        self._app.close()

    def order(self, what: str, orders: Any) -> None:
        """Sets its `faults`, `latency` or `throttle`."""
        httpx.put(f"{self._stand_in.url}/_{what}", json=orders).raise_for_status()

    def faults(self, *faults: Document) -> None:
        """Orders these in the place of all."""
        self.order("faults", faults)

    def release(self) -> None:
        """Takes all faults back, and breaks off what stalls."""
        httpx.delete(f"{self._stand_in.url}/_faults").raise_for_status()

    def put(self, record: Document, *, if_match: str | None = None) -> Document:
        """Writes a record."""
        headers = {"If-Match": if_match} if if_match else {}
        reply = self._app.put(_path(record), json=record, headers=headers)
        return dict(reply.raise_for_status().json())

    def get(self, record: Document) -> Document | None:
        """The record as it is stored, if it is."""
        reply = self._app.get(_path(record))
        return None if reply.status_code == 404 else dict(reply.raise_for_status().json())

    def keys(self, record: Document) -> Document:
        """The keys of a device or group."""
        reply = self._app.post(f"{_path(record)}/attestationmechanism").raise_for_status()
        return dict(reply.json()["symmetricKey"])

    @property
    def stats(self) -> Document:
        """What it has been asked, in numbers."""
        return dict(httpx.get(f"{self._stand_in.url}/_stats").json())

    @property
    def calls(self) -> list[str]:
        """The operations it was asked for, in their order."""
        return [request.operation or "" for request in self._stand_in.requests]


def _path(record: Document) -> str:
    if "registrationId" in record:
        return f"/enrollments/{record['registrationId']}"
    return f"/enrollmentGroups/{record['enrollmentGroupId']}"
