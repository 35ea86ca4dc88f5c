"""
The control endpoints, through which tests and people configure the stand-in itself.

They need no authorization; no quota, fault or latency applies to them, and they are not logged.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from local.dps.certificates import is_authority
from local.dps.documents import GROUP_ID, show_registration
from local.dps.hubs import HubDevice
from local.dps.instance import Instance, Latency
from local.dps.operations import Response
from local.dps.records import Records, is_valid_id
from local.dps.throttle import Quota
from local.dps.validation import (
    ANYTHING,
    BOOLEAN,
    MILLISECONDS,
    POSITIVE_INTEGER,
    POSITIVE_NUMBER,
    STRING,
    InvalidBodyError,
    Member,
    find_problems,
    one_of,
    parse_json,
)

_ID = "an id: up to 128 of A-Z a-z 0-9 . _ : -, the last one a letter, a digit or a dash"

THROTTLE = {
    "enabled": BOOLEAN,
    "operationsPerMinute": POSITIVE_NUMBER,
    "algorithm": one_of("tokenBucket", "fixedWindow"),
    "count": one_of("calls", "items"),
    "burst": POSITIVE_NUMBER,
    "windowSeconds": POSITIVE_NUMBER,
    "retryAfter": BOOLEAN,
}
LATENCY = {"singleMs": MILLISECONDS, "bulkMs": MILLISECONDS}
REGISTRATION = {
    "registrationId": Member(is_valid_id, _ID, required=True),
    GROUP_ID: Member(is_valid_id, _ID),
    "assignedHub": STRING,
    "deviceId": STRING,
    "status": one_of("unassigned", "assigning", "assigned", "failed", "disabled"),
    "substatus": one_of(
        "initialAssignment",
        "deviceDataMigrated",
        "deviceDataReset",
        "reprovisionedToInitialAssignment",
    ),
    "payload": ANYTHING,
    "errorCode": POSITIVE_INTEGER,
    "errorMessage": STRING,
}
CERTIFICATE = Member(is_authority, "the certificate of a CA, in PEM or in base64 of DER")


@dataclass(frozen=True)
class ControlRequest:
    """One request to a control endpoint."""

    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes

    def read_document(self, members: Mapping[str, Member]) -> dict[str, Any]:
        """Returns the object in the body; raises InvalidBodyError if it breaks these rules."""
        document = parse_json(self.body)
        problems = find_problems(document, members)
        if problems:
            raise InvalidBodyError(problems)
        return dict(document)


class Control:
    """The control endpoints of an instance; `release` ends the requests that a fault stalls."""

    def __init__(self, instance: Instance, release: Callable[[], None]) -> None:
        self._instance = instance
        self._release = release
        self._endpoints: Mapping[tuple[str, str], Callable[[ControlRequest], Response]] = {
            ("GET", "/_faults"): self._get_faults,
            ("PUT", "/_faults"): self._put_faults,
            ("DELETE", "/_faults"): self._delete_faults,
            ("GET", "/_throttle"): self._get_throttle,
            ("PUT", "/_throttle"): self._put_throttle,
            ("GET", "/_latency"): self._get_latency,
            ("PUT", "/_latency"): self._put_latency,
            ("GET", "/_stats"): lambda _: Response(200, instance.stats()),
            ("POST", "/_reset"): self._reset,
            ("POST", "/_registrations"): self._put_registration,
            ("GET", "/_certificates"): self._get_certificates,
            ("PUT", "/_certificates"): self._put_certificates,
            ("GET", "/_devices"): lambda _: Response(200, [d.as_json() for d in instance.devices]),
            ("GET", "/_identity/token"): lambda r: instance.identity.get_token(r.headers, r.query),
        }

    @property
    def endpoints(self) -> list[str]:
        """Method and path of each endpoint."""
        return [" ".join(endpoint) for endpoint in self._endpoints]

    def run(self, method: str, path: str, request: ControlRequest) -> Response:
        """Returns the response of an endpoint; 400, 404 and 405 explain what is wrong."""
        run = self._endpoints.get((method, path))
        if run is None:
            is_path = any(path == other for _, other in self._endpoints)
            return Response(405 if is_path else 404, {"endpoints": self.endpoints})
        try:
            return run(request)
        except InvalidBodyError as error:
            return Response(400, {"errors": error.problems})

    def _get_faults(self, _: ControlRequest) -> Response:
        return Response(200, self._instance.faults.documents)

    def _put_faults(self, request: ControlRequest) -> Response:
        self._instance.faults.replace(parse_json(request.body))
        return self._get_faults(request)

    def _delete_faults(self, _: ControlRequest) -> Response:
        self._instance.faults.replace([])
        self._release()
        return Response(204)

    def _get_throttle(self, _: ControlRequest) -> Response:
        return Response(200, self._instance.quota.as_json())

    def _put_throttle(self, request: ControlRequest) -> Response:
        limit = self._instance.options.operations_per_minute
        settings = {"operationsPerMinute": limit} | request.read_document(THROTTLE)
        self._instance.set_quota(Quota(**settings))
        return self._get_throttle(request)

    def _get_latency(self, _: ControlRequest) -> Response:
        return Response(200, asdict(self._instance.latency))

    def _put_latency(self, request: ControlRequest) -> Response:
        self._instance.latency = Latency(**request.read_document(LATENCY))
        return self._get_latency(request)

    def _reset(self, _: ControlRequest) -> Response:
        self._instance.reset()
        self._release()
        return Response(204)

    def _get_certificates(self, _: ControlRequest) -> Response:
        return Response(200, self._instance.certificates.infos)

    def _put_certificates(self, request: ControlRequest) -> Response:
        """Replaces the CA certificates that `caReferences` of groups name."""
        document = parse_json(request.body)
        names = document if isinstance(document, dict) else ()
        problems = find_problems(document, dict.fromkeys(names, CERTIFICATE))
        if problems:
            raise InvalidBodyError(problems)
        self._instance.certificates.replace(document)
        return self._get_certificates(request)

    def _put_registration(self, request: ControlRequest) -> Response:
        """Stores a registration as if a device had made it, assigned by default."""
        document = request.read_document(REGISTRATION)
        state = _write_registration(self._instance.registrations, document)
        if state["status"] == "assigned" and "assignedHub" in state:
            self._instance.devices.put(_create_device(state, document.get(GROUP_ID)))
        return Response(200, state)


def _write_registration(records: Records, document: Mapping[str, Any]) -> dict[str, Any]:
    members = {"status": "assigned"} | {k: v for k, v in document.items() if k != "registrationId"}
    if members["status"] == "assigned":
        members = {
            "deviceId": document["registrationId"],
            "substatus": "initialAssignment",
        } | members
    return show_registration(records.write(document["registrationId"], members))


def _create_device(state: Mapping[str, Any], group_id: str | None) -> HubDevice:
    return HubDevice(
        registration_id=state["registrationId"],
        group_id=group_id,
        hub=state["assignedHub"],
        device_id=state["deviceId"],
        substatus=state["substatus"],
        twin={},
        payload=state.get("payload"),
    )
