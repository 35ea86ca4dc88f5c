"""The control endpoints: what a test or a person orders from the stand-in itself.

They need no authorization, and are neither counted, throttled nor disturbed.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from local.dps import shapes
from local.dps.devices import HubDevice
from local.dps.instance import Instance, Latency
from local.dps.records import Records
from local.dps.registrations import GROUP, show
from local.dps.replies import Reply
from local.dps.rules import ID
from local.dps.shapes import FLAG, MILLISECONDS, POSITIVE, TEXT, Member, Misshapen, parse, problems
from local.dps.throttle import Quota

STATUSES = ("unassigned", "assigning", "assigned", "failed", "disabled")
SUBSTATUSES = (
    "initialAssignment",
    "deviceDataMigrated",
    "deviceDataReset",
    "reprovisionedToInitialAssignment",
)


def _one_of(*names: str) -> Member:
    return Member(lambda value: value in names, f"one of {', '.join(names)}")


def _id(*, required: bool = False) -> Member:
    return Member(lambda v: isinstance(v, str) and bool(ID.fullmatch(v)), "an id", required)


THROTTLE = {
    "enabled": FLAG,
    "operationsPerMinute": POSITIVE,
    "algorithm": _one_of("tokenBucket", "fixedWindow"),
    "count": _one_of("calls", "items"),
    "burst": POSITIVE,
    "windowSeconds": POSITIVE,
    "retryAfter": FLAG,
}
LATENCY = {"singleMs": MILLISECONDS, "bulkMs": MILLISECONDS}
REGISTRATION = {
    "registrationId": _id(required=True),
    GROUP: _id(),
    "assignedHub": TEXT,
    "deviceId": TEXT,
    "status": _one_of(*STATUSES),
    "substatus": _one_of(*SUBSTATUSES),
    "payload": shapes.ANYTHING,
    "errorCode": shapes.COUNT,
    "errorMessage": TEXT,
}


@dataclass(frozen=True)
class Order:
    """One request to a control endpoint."""

    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes

    def document(self, members: Mapping[str, Member]) -> dict[str, Any]:
        """The object in the body, if it has these members; else Misshapen."""
        document = parse(self.body)
        wrong = problems(document, members)
        if wrong:
            raise Misshapen(wrong)
        return dict(document)


class Control:
    """One method for each control endpoint, found by method and path."""

    def __init__(self, instance: Instance, release: Callable[[], None]) -> None:
        self._instance = instance
        self._release = release  # lets go of the requests that a fault stalls
        self._orders: Mapping[tuple[str, str], Callable[[Order], Reply]] = {
            ("GET", "/_faults"): self._get_faults,
            ("PUT", "/_faults"): self._put_faults,
            ("DELETE", "/_faults"): self._delete_faults,
            ("GET", "/_throttle"): self._get_throttle,
            ("PUT", "/_throttle"): self._put_throttle,
            ("GET", "/_latency"): self._get_latency,
            ("PUT", "/_latency"): self._put_latency,
            ("GET", "/_stats"): lambda _: Reply(200, instance.stats()),
            ("POST", "/_reset"): self._reset,
            ("POST", "/_registrations"): self._put_registration,
            ("GET", "/_devices"): lambda _: Reply(200, [d.as_json() for d in instance.devices]),
            ("GET", "/_identity/token"): lambda o: instance.identity.token(o.headers, o.query),
        }

    @property
    def endpoints(self) -> list[str]:
        """Method and path of each, for a person to read."""
        return [" ".join(order) for order in self._orders]

    def run(self, method: str, path: str, order: Order) -> Reply:
        """The reply of the endpoint; 404 and 405 as anywhere."""
        run = self._orders.get((method, path))
        if run is None:
            known = any(path == other for _, other in self._orders)
            return Reply(405 if known else 404, {"endpoints": self.endpoints})
        try:
            return run(order)
        except Misshapen as misshapen:
            return misshapen.reply()

    def _get_faults(self, _: Order) -> Reply:
        return Reply(200, self._instance.faults.ordered)

    def _put_faults(self, order: Order) -> Reply:
        self._instance.faults.replace(parse(order.body))
        return self._get_faults(order)

    def _delete_faults(self, _: Order) -> Reply:
        self._instance.faults.replace([])
        self._release()
        return Reply(204)

    def _get_throttle(self, _: Order) -> Reply:
        return Reply(200, self._instance.quota.as_json())

    def _put_throttle(self, order: Order) -> Reply:
        limit = self._instance.options.operations_per_minute
        settings = {"operationsPerMinute": limit} | order.document(THROTTLE)
        self._instance.set_quota(Quota(**settings))
        return self._get_throttle(order)

    def _get_latency(self, _: Order) -> Reply:
        return Reply(200, asdict(self._instance.latency))

    def _put_latency(self, order: Order) -> Reply:
        self._instance.latency = Latency(**order.document(LATENCY))
        return self._get_latency(order)

    def _reset(self, _: Order) -> Reply:
        self._instance.reset()
        self._release()
        return Reply(204)

    def _put_registration(self, order: Order) -> Reply:
        """A registration without the device: stays until the record is deleted."""
        document = order.document(REGISTRATION)
        state = register(self._instance.registrations, document)
        if state["status"] == "assigned" and "assignedHub" in state:
            self._instance.devices.place(_device(state, document.get(GROUP)))
        return Reply(200, state)


def _device(state: Mapping[str, Any], group_id: str | None) -> HubDevice:
    return HubDevice(
        registration_id=state["registrationId"],
        group_id=group_id,
        hub=state["assignedHub"],
        device_id=state["deviceId"],
        substatus=state["substatus"],
        twin={},
        payload=state.get("payload"),
    )


def register(records: Records, document: Mapping[str, Any]) -> dict[str, Any]:
    """Stores a registration; an assigned one by default, to the device id of its own name."""
    members = {"status": "assigned"} | {k: v for k, v in document.items() if k != "registrationId"}
    if members["status"] == "assigned":
        members = {
            "deviceId": document["registrationId"],
            "substatus": "initialAssignment",
        } | members
    return show(records.write(document["registrationId"], members))
