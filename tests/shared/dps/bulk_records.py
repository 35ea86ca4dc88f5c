"""Records for bulk operations, and what became of them."""

from typing import Any

from local.dps import DpsStandIn
from shared.dps import DpsClient

BULK = {"method": "POST", "path": "^/enrollments$"}


def enrollment(registration_id: str, **members: Any) -> dict[str, Any]:
    """A sound enrollment."""
    return {
        "registrationId": registration_id,
        "attestation": {"type": "symmetricKey"},
        **members,
    }


def enrollments(number: int) -> list[dict[str, Any]]:
    """So many enrollments, `d-0` and on."""
    return [enrollment(f"d-{position}") for position in range(number)]


def bulk_calls(dps: DpsStandIn) -> int:
    """How many bulk calls DPS saw."""
    return sum(r.method == "POST" and r.path == "/enrollments" for r in dps.requests)


async def stored(client: DpsClient) -> set[str]:
    """The ids DPS knows."""
    return {record["registrationId"] async for record in client.enrollments.query({"query": "*"})}
