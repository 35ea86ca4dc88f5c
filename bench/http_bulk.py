"""
Time of one bulk request over HTTP: python bench/http_bulk.py.

The stand-in answers a bulk call in 400 ms. The peer makes the same calls one after another, as a
script with DPS's own API does; its time is that of ten calls, scaled. At the quota of 1,000 operations
a minute the peer is the time in which the quota allows the calls.
"""

import json
import sys
import time
import urllib.request
from collections.abc import Mapping
from typing import Any

from deployment import PER_MINUTE, WITHOUT_RATE_LIMIT, Deployment, deploy
from harness import Child, is_quick
from saturation import exhaust_quota
from table import Figures, Row, Rows, print_table

NOTE = "peer: the same calls one after another; with a quota: the time that the quota takes"
_RECORDS_PER_CALL = 10
_TIMEOUT = 220.0
WITHOUT_QUEUE_TRIGGERS = {
    "AzureWebJobs_enrollment_requests_Disabled": "1",
    "AzureWebJobs_bulk_operations_Disabled": "1",
}
# Seconds allowed for so many records, without a quota.
_GOALS = {200: 0.6, 1_000: 3.0, 10_000: 20.0}
_GOAL_AT_QUOTA = 1.25


def rows() -> Rows:
    """The time of bulk requests of several sizes, and the DPS operations per device."""
    sizes = [200, 1_000] if is_quick() else list(_GOALS)
    with deploy() as deployment:
        deployment.dps.configure("throttle", {"enabled": False})
        with deployment.run_app(WITHOUT_RATE_LIMIT | WITHOUT_QUEUE_TRIGGERS) as app:
            found = [_row(app, size) for size in sizes]
        return found if is_quick() else [*found, *_rows_at_quota(deployment)]


def _row(app: Child, size: int) -> Row:
    per_call = _create(app, _RECORDS_PER_CALL)
    peer = per_call * size / _RECORDS_PER_CALL
    return Row(
        name=f"{size:,} creates in one HTTP bulk request",
        unit="s",
        ours=[_create(app, size)],
        theirs=[peer],
        at_most=_GOALS[size] / (0.4 * size / _RECORDS_PER_CALL),
    )


def _rows_at_quota(deployment: Deployment) -> Rows:
    size = 10_000
    dps = deployment.dps
    dps.configure("throttle", {"operationsPerMinute": PER_MINUTE, "algorithm": "tokenBucket"})
    with deployment.run_app({"DPS_PACING_START": str(PER_MINUTE), **WITHOUT_QUEUE_TRIGGERS}) as app:
        exhaust_quota(dps)
        before = dps.stats()
        seconds = _create(app, size)
        calls = (dps.stats() - before).calls
    return [
        Row(
            name=f"{size:,} creates in one HTTP bulk request at {PER_MINUTE:,} calls a minute",
            unit="s",
            ours=[seconds],
            theirs=[60 * size / _RECORDS_PER_CALL / PER_MINUTE],
            at_most=_GOAL_AT_QUOTA,
        ),
        Figures(name="DPS operations per device, HTTP bulk", unit="calls", ours=calls / size),
    ]


_created = 0


def _create(app: Child, size: int) -> float:
    """Creates new records; returns the seconds of the request."""
    global _created
    first, _created = _created, _created + size
    records = [
        {
            "registrationId": f"bulk-{number:07}",
            "attestation": {"type": "symmetricKey"},
            "initialTwin": {"tags": {"plant": "north", "line": number % 12}},
        }
        for number in range(first, first + size)
    ]
    started = time.monotonic()
    result = _post(f"{app.endpoint['url']}/enrollments", {"mode": "create", "enrollments": records})
    if result != {"errors": [], "isSuccessful": True}:
        raise RuntimeError(f"{len(result['errors'])} records failed: {result['errors'][:3]}")
    return time.monotonic() - started


def _post(url: str, document: Mapping[str, Any]) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(document).encode(), headers)  # noqa: S310  loopback
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:  # noqa: S310  loopback
        result: dict[str, Any] = json.loads(response.read())
    return result


if __name__ == "__main__":
    sys.exit(print_table(rows(), NOTE))
