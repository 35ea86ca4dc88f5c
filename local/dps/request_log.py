"""The log of API requests and their statistics."""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import WeakSet

from local.dps.errors import THROTTLED
from local.dps.records import Commit

MAX_REQUESTS: Final = 10_000


@dataclass(kw_only=True)
class LoggedRequest:
    """
    One request; `status` is None until it is answered, and stays None if it never is.

    `request_id` is the client's own, `commits` is what the request changed.
    """

    method: str
    path: str  # percent-decoded, without the query
    operation: str | None = None
    status: int | None = None
    request_id: str | None = None
    commits: list[Commit] = field(default_factory=list)


class RequestLog:
    """The latest requests, and counts of all; requests to control endpoints are not logged."""

    def __init__(self) -> None:
        self._connections_seen: WeakSet[Any] = WeakSet()
        self.clear()

    def clear(self) -> None:
        """Deletes the requests and resets the counts."""
        self.requests: deque[LoggedRequest] = deque(maxlen=MAX_REQUESTS)
        self._running: LoggedRequest | None = None
        self._methods: Counter[str] = Counter()
        self._operations: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._connections = 0
        self._items = 0
        self._faults = 0

    def add(
        self, method: str, path: str, connection: object, *, request_id: str | None = None
    ) -> LoggedRequest:
        """Adds a request that has just arrived over `connection`."""
        if connection is not None and connection not in self._connections_seen:
            self._connections_seen.add(connection)
            self._connections += 1
        request = LoggedRequest(method=method, path=path, request_id=request_id)
        self.requests.append(request)
        self._methods[method] += 1
        return request

    def set_operation(self, request: LoggedRequest, operation: str) -> None:
        """Sets the operation of a request."""
        request.operation = operation
        self._operations[operation] += 1

    def set_running(self, request: LoggedRequest) -> None:
        """Sets the request that causes the commits to come: an operation runs without a pause."""
        self._running = request

    def add_commit(self, commit: Commit) -> None:
        """Adds a commit to the request that is running."""
        if self._running is not None:
            self._running.commits.append(commit)

    def set_status(self, request: LoggedRequest, status: int) -> None:
        """Sets the status; call it before the response is sent, so that no reader misses it."""
        request.status = status
        self._statuses[str(status)] += 1

    def count_items(self, items: int) -> None:
        """Counts the items of an operation that the quota admitted."""
        self._items += items

    def count_fault(self) -> None:
        """Counts a fault that was applied to a request."""
        self._faults += 1

    def as_json(self) -> dict[str, Any]:
        """Returns all counts."""
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
