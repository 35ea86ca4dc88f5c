"""Sample records, queue requests, DPS faults, allocation policies and allocation requests."""

import json
from collections.abc import Callable
from typing import Any

import httpx

from tests import secret_factory
from tests.shared.allocation.samples import GROUP, HUB_1, HUB_2, HUB_3, body

Document = dict[str, Any]

DPS_ROUTES = {
    ("GET", "enrollments/{id}"),
    ("PUT", "enrollments/{id}"),
    ("DELETE", "enrollments/{id}"),
    ("POST", "enrollments/{id}/attestationmechanism"),
    ("POST", "enrollments/query"),
    ("POST", "enrollments"),
    ("GET", "enrollmentGroups/{id}"),
    ("PUT", "enrollmentGroups/{id}"),
    ("DELETE", "enrollmentGroups/{id}"),
    ("POST", "enrollmentGroups/{id}/attestationmechanism"),
    ("POST", "enrollmentGroups/query"),
    ("POST", "enrollmentGroups"),
    ("GET", "registrations/{id}"),
    ("DELETE", "registrations/{id}"),
    ("POST", "registrations/{id}/query"),
}
"""Routes of the DPS API, with their methods; literal, because in SAS mode no other is anonymous."""

CREATE, UPDATE, UPSERT, DELETE = "create", "update", "upsert", "delete"


def enrollment(id: str = "dev-1", **members: Any) -> Document:
    """Returns a valid enrollment for which DPS creates the keys."""
    return {"registrationId": id, "attestation": {"type": "symmetricKey"}, **members}


def enrollments(number: int, name: str = "dev") -> list[Document]:
    """Returns this number of enrollments."""
    return [enrollment(f"{name}-{position}") for position in range(number)]


def enrollment_with_keys(id: str = "dev-1", **members: Any) -> Document:
    """Returns a valid enrollment with keys of its own."""
    keys = {name: secret_factory.symmetric_key() for name in ("primaryKey", "secondaryKey")}
    return enrollment(id, attestation={"type": "symmetricKey", "symmetricKey": keys}, **members)


def group(id: str = "group-1", **members: Any) -> Document:
    """Returns a valid enrollment group."""
    return {"enrollmentGroupId": id, "attestation": {"type": "symmetricKey"}, **members}


def request_for(operation: str, id: str = "dev-1", **members: Any) -> Document:
    """Returns a queue request for one enrollment with these members."""
    if operation == DELETE:
        return {"operation": DELETE, "registrationId": id, **members}
    return {"operation": operation, "enrollment": enrollment(id, **members)}


def bulk_request(mode: str, *records: Any) -> Document:
    """Returns a queue request for these enrollments."""
    return {"mode": mode, "enrollments": list(records)}


def ids_in_body(copy: Document) -> list[str]:
    """Returns the registration ids in the body of a copy of a bulk message."""
    content = json.loads(copy["body"])
    request = content.get("data", content)
    return [record["registrationId"] for record in request["enrollments"]]


def bulk_fault(status: int = 500, **options: Any) -> Document:
    """Returns a stand-in fault for bulk calls on enrollments."""
    body = {"errorCode": status * 1000, "message": "A message of DPS.", "trackingId": "dps-1"}
    match = {"method": "POST", "path": "^/enrollments$"}
    return {"match": match, "do": {"status": status, "body": body}, **options}


def record_fault(id: str) -> Document:
    """Returns a stand-in fault for calls on this one enrollment."""
    return {"match": {"path": f"^/enrollments/{id}$"}, "do": {"status": 500}}


THROTTLED = {"do": {"status": 429, "headers": {"Retry-After": "30"}}}
"""What a stand-in fault does to throttle a call."""
STALLED = {"match": {"path": "^/enrollments$"}, "do": {"stall": True}}
"""A stand-in fault: bulk calls on enrollments get no response until the fault is removed."""


# Allocation

StartApp = Callable[..., httpx.Client]
"""Starts the app with policies and settings; returns a client of it."""

POLICIES = {
    "default": {
        "rules": [
            {
                "name": "stay",
                "when": {"currentHub": {"linked": True}},
                "hub": {"keep": True},
            },
            {
                "name": "north",
                "when": {"payload.region": {"in": ["se", "no"]}},
                "hub": HUB_3,
                "initialTwin": {"tags": {"region": "${payload.region}"}},
                "payload": {"tier": "north"},
            },
            {
                "name": "stolen",
                "when": {"registrationId": {"matches": "stolen-.*"}},
                "reject": "reported stolen",
            },
        ],
        "otherwise": {"hub": {"hash": {}}},
    },
    "only-hub-1": {"rules": [{"name": "one", "hub": HUB_1}]},
    "sticky": {"python": "shared.allocation.policies:sticky"},
}

INITIAL = body(payload={"region": "se"})
REPROVISION = body(
    currentIotHubHostName=HUB_2, currentDeviceId="dev-1", payload={"firmware": "12.0.2.5"}
)
API_2019 = body(
    group={name: GROUP[name] for name in ("enrollmentGroupId", "attestation", "etag")},
    hubs=(HUB_2,),
    currentIotHubHostName=HUB_2,
)
