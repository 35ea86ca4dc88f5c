"""What has come over the wire."""

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakSet

from local.dps.rules import THROTTLED

REMEMBERED: Final = 10_000


@dataclass(kw_only=True)
class Request:
    """One request as it was seen; `status` stays None while, and if, it is not answered."""

    method: str
    path: str  # percent-decoded, without the query
    operation: str | None = None
    status: int | None = None


class Traffic:
    """The last requests, and counts of all of them; control endpoints are not among them."""

    def __init__(self) -> None:
        self._seen_transports: WeakSet[Any] = WeakSet()
        self.forget()

    def forget(self) -> None:
        """Starts counting anew."""
        self.requests: deque[Request] = deque(maxlen=REMEMBERED)
        self._methods: Counter[str] = Counter()
        self._operations: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._connections = 0
        self._items = 0
        self._faults = 0

    def arrived(self, method: str, path: str, connection: object) -> Request:
        """Remembers a request that has just come in over `connection`."""
        if connection is not None and connection not in self._seen_transports:
            self._seen_transports.add(connection)
            self._connections += 1
        request = Request(method=method, path=path)
        self.requests.append(request)
        self._methods[method] += 1
        return request

    def admitted(self, items: int) -> None:
        """Counts the items of an operation that is about to run."""
        self._items += items

    def found(self, request: Request, operation: str) -> None:
        """Remembers which operation was asked for."""
        request.operation = operation
        self._operations[operation] += 1

    def answered(self, request: Request, status: int) -> None:
        """Remembers the answer; called before it is sent, so whoever got it finds it here."""
        request.status = status
        self._statuses[str(status)] += 1

    def faulted(self) -> None:
        """Counts a fault that was done to a request."""
        self._faults += 1

    def as_json(self) -> dict[str, Any]:
        """All counts."""
        return {
            "calls": self._methods.total(),
            "itemsAdmitted": self._items,
            "byMethod": dict(self._methods),
            "byOperation": dict(self._operations),
            "byStatus": dict(self._statuses),
            "throttled": self._statuses[str(THROTTLED.status)],
            "faults": self._faults,
            "connections": self._connections,
        }
