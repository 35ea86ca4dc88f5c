"""From method and path to the operation of an API."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from local.dps.errors import Refused
from local.dps.options import Right
from local.dps.replies import Call, Reply
from local.dps.rules import NO_SUCH_PATH, WRONG_METHOD

ID = "{id}"


def _one(_: Call) -> int:
    return 1


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation of an API: where it is, what it needs, what it does."""

    name: str
    method: str
    path: str  # may hold one {id}
    right: Right
    run: Callable[[Call], Reply]
    is_bulk: bool = False
    count_items: Callable[[Call], int] = _one

    def match(self, segments: list[str]) -> str | None:
        """The id in the path ("" if it has none), or None if this is another path."""
        pattern = self.path.strip("/").split("/")
        if len(pattern) != len(segments):
            return None
        id_ = ""
        for expected, given in zip(pattern, segments, strict=True):
            if expected == ID and given:
                id_ = unquote(given)
            elif expected.lower() != given.lower():  # M: Node's client writes lower case
                return None
        return id_


class Router:
    """The operations of one API."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._operations = tuple(operations)

    def find(self, method: str, raw_path: str) -> tuple[Operation, str]:
        """The operation and the id; a trailing slash does not matter (M: the C SDK sends one)."""
        segments = raw_path.rstrip("/").split("/")[1:]
        found = [(o, id_) for o in self._operations if (id_ := o.match(segments)) is not None]
        if not found:
            raise Refused(NO_SUCH_PATH)
        for operation, id_ in found:
            if operation.method == method:
                return operation, id_
        allowed = ", ".join(sorted({operation.method for operation, _ in found}))
        raise Refused(WRONG_METHOD, headers={"Allow": allowed})
