"""From method and path to the operation of an API."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from local.dps.errors import Refused
from local.dps.options import Right
from local.dps.replies import Call, Reply
from local.dps.rules import NO_SUCH_PATH, WRONG_METHOD

# D: the operations of the service API and the registrations of devices have a quota each.
QuotaName = Literal["operations", "registrations"]


def _one(_: Call) -> int:
    return 1


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation of an API: where it is, what it needs, what it does.

    An operation without a `right` belongs to the device API and knows its callers by itself.
    """

    name: str
    method: str
    path: str  # {id} and the like stand for members of Call
    right: Right | None = None
    quota: QuotaName | None = "operations"
    run: Callable[[Call], Reply]
    is_bulk: bool = False
    count_items: Callable[[Call], int] = _one

    def match(self, segments: list[str]) -> Mapping[str, str] | None:
        """What the path gives the call, or None if this is another path."""
        pattern = self.path.strip("/").split("/")
        if len(pattern) != len(segments):
            return None
        given: dict[str, str] = {}
        for expected, segment in zip(pattern, segments, strict=True):
            if expected.startswith("{") and segment:
                given[expected.strip("{}")] = unquote(segment)
            elif expected.lower() != segment.lower():  # M: Node's client writes lower case
                return None
        return given


class Router:
    """The operations of the APIs; of two that a path may mean, the first is meant."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._operations = tuple(operations)

    def find(self, method: str, raw_path: str) -> tuple[Operation, Mapping[str, str]]:
        """The operation, and what the path gives the call.

        A trailing slash does not matter (M: the C SDK sends one).
        """
        segments = raw_path.rstrip("/").split("/")[1:]
        found = [(o, ids) for o in self._operations if (ids := o.match(segments)) is not None]
        if not found:
            raise Refused(NO_SUCH_PATH)
        for operation, ids in found:
            if operation.method == method:
                return operation, ids
        allowed = ", ".join(sorted({operation.method for operation, _ in found}))
        raise Refused(WRONG_METHOD, headers={"Allow": allowed})
