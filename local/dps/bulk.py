"""Up to ten enrollments in one call."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local.dps.enrollments import Enrollments
from local.dps.errors import Refused
from local.dps.etags import Condition
from local.dps.replies import Call, Reply
from local.dps.rules import BULK_LIMIT, INVALID, INVALID_ID

Item = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Bulk:
    """POST /enrollments and POST /enrollmentGroups.

    A call that breaks a rule as a whole is refused; an item that does is named in the result,
    which is 200 even if every item failed (R).
    """

    enrollments: Enrollments

    def run(self, call: Call) -> Reply:
        """Does the items one after the other, and keeps what was done when a later one fails (D)."""
        mode, items = self._mode(call.document), self._items(call.document)
        self._check_whole_call(mode, items)
        operation = self._modes[mode]
        errors = [error for item in items if (error := self._attempt(operation, item))]
        return Reply(200, {"errors": errors, "isSuccessful": not errors})

    def count_items(self, call: Call) -> int:
        """How many items a call has, readable or not: what a throttle may count."""
        try:
            return max(1, len(self._items(call.document)))
        except Refused:
            return 1

    @property
    def _modes(self) -> dict[str, Callable[[Item], None]]:
        # M: update and updateIfMatchETag behave alike wherever the difference could be seen.
        return {
            "create": self._create,
            "update": self._update,
            "updateIfMatchETag": self._update,
            "delete": self._delete,
        }

    def _create(self, item: Item) -> None:
        self.enrollments.write(self._id(item), item, None)

    def _update(self, item: Item) -> None:
        """As a PUT with the item's etag for If-Match; R: 409 if it has none. ?: 404, 412."""
        self.enrollments.records.get(self._id(item))
        etag = item.get("etag")
        self.enrollments.write(self._id(item), item, None if etag is None else Condition(str(etag)))

    def _delete(self, item: Item) -> None:
        """R: needs no etag; ?: does not look at it."""
        self.enrollments.records.delete(self._id(item), None)

    def _attempt(self, operation: Callable[[Item], None], item: Item) -> dict[str, Any] | None:
        try:
            operation(item)
        except Refused as refused:
            return {
                self.enrollments.kind.id_member: self._id(item),
                "errorCode": refused.refusal.code,
                "errorStatus": refused.message,
            }
        return None

    def _id(self, item: Item) -> str:
        return str(item[self.enrollments.kind.id_member])

    def _mode(self, document: dict[str, Any]) -> str:
        mode = document.get("mode")
        if not isinstance(mode, str) or mode not in self._modes:
            raise Refused(INVALID, "Invalid mode")
        return mode

    def _items(self, document: dict[str, Any]) -> list[Item]:
        items = document.get(self.enrollments.kind.path)
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise Refused(INVALID, f"The {self.enrollments.kind.path} are required")
        return items

    def _check_whole_call(self, mode: str, items: list[Item]) -> None:
        """M: ids given twice; D: more than ten; ?: none, an item without id, a bare delete."""
        id_member = self.enrollments.kind.id_member
        if not 0 < len(items) <= BULK_LIMIT:
            raise Refused(INVALID, f"A bulk operation takes 1 to {BULK_LIMIT} items")
        if not all(isinstance(item.get(id_member), str) for item in items):
            raise Refused(INVALID, INVALID_ID[id_member])
        if len({self._id(item).lower() for item in items}) < len(items):
            raise Refused(INVALID, f"Each {id_member} can be given once")
        bare = mode == "delete" and any(item.get("attestation") is None for item in items)
        if bare and self.enrollments.options.delete_needs_attestation:
            raise Refused(INVALID, "The attestation is required")
