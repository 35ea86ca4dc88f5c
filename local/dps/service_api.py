"""The service API: enrollments, enrollment groups and registration states."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from local.dps.attestation import accept_attestation, show_attestation
from local.dps.documents import (
    GROUP_ID,
    check_document,
    check_id,
    read_document,
    registration_state_of,
    show_enrollment,
    show_registration,
    stored_members,
)
from local.dps.errors import INVALID_REQUEST, ApiError
from local.dps.operations import Call, Operation, Response
from local.dps.options import Options, Right
from local.dps.queries import check_query, create_page
from local.dps.records import IfMatch, Kind, Record, Records, read_if_match
from local.dps.spelling import spell

# Documented. Assumed: a call with more items is rejected as a whole.
BULK_LIMIT: Final = 10

Item = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Enrollments:
    """The operations on individual enrollments or on enrollment groups."""

    records: Records
    registrations: Records
    options: Options

    @property
    def kind(self) -> Kind:
        """The kind of records."""
        return self.records.kind

    def operations(self) -> Iterator[Operation]:
        """
        Yields the operations, at the paths of the REST API specification.

        Assumed: reading keys needs no more than EnrollmentRead, although Microsoft Entra has a
        separate action for it.
        """
        root, read, write = self.kind.path, Right.ENROLLMENT_READ, Right.ENROLLMENT_WRITE
        record, mechanism = f"{root}/{{id}}", f"{root}/{{id}}/attestationmechanism"
        yield from _operations(
            root,
            ("get", "GET", record, read, self.get),
            ("put", "PUT", record, write, self.put),
            ("delete", "DELETE", record, write, self.delete),
            ("query", "POST", f"{root}/query", read, self.query),
            ("attestationMechanism", "POST", mechanism, read, self.get_attestation_mechanism),
        )
        yield BulkOperation(enrollments=self).operation()

    def get(self, call: Call) -> Response:
        """Returns a record. Recorded: an individual enrollment has its registration state."""
        record = self.records.get(call.id)
        state = None
        if self.kind.has_registration_state:
            state = registration_state_of(self.registrations, record.id)
        return Response(200, self._show(record, call, registration_state=state))

    def put(self, call: Call) -> Response:
        """Creates or updates a record. Recorded: 200 in both cases, with the keys."""
        document = read_document(self.kind, call.document, call.api_version)
        record = self.write(call.id, document, read_if_match(call.headers))
        return Response(200, self._show(record, call, with_keys=True))

    def delete(self, call: Call) -> Response:
        """Deletes a record. Recorded: 204. Documented: the registrations of the devices remain."""
        self.records.delete(call.id, read_if_match(call.headers))
        return Response(204)

    def query(self, call: Call) -> Response:
        """Returns a page of records. Recorded: as from `get`, but without registration states."""
        check_query(call)
        return create_page(
            call,
            self.records,
            query=self.kind.path,
            item_type=self.kind.item_type,
            show=lambda record: self._show(record, call),
        )

    def get_attestation_mechanism(self, call: Call) -> Response:
        """Returns the attestation. Recorded: with its keys."""
        stored = self.records.get(call.id).members["attestation"]
        return Response(200, show_attestation(stored, with_keys=True))

    def write(self, id_: str, document: Item, if_match: IfMatch | None) -> Record:
        """
        Creates a record or, with `if_match`, replaces it.

        Reported: without `if_match`, an existing record is an error 409.
        """
        check_id(self.kind, document, id_)
        check_document(document, self.options.linked_hubs)
        existing = self.records.find(id_)
        members = stored_members(self.kind, document)
        members["attestation"] = accept_attestation(
            self.kind,
            document.get("attestation"),
            existing.members["attestation"] if existing else {},
            keep_keys=self.options.keep_keys_on_update,
        )
        if if_match:
            self.records.check(id_, if_match)
        elif existing:
            raise ApiError(self.kind.exists)
        return self.records.write(id_, members)

    def _show(
        self, record: Record, call: Call, *, with_keys: bool = False, registration_state: Any = None
    ) -> dict[str, Any]:
        return show_enrollment(
            self.kind,
            record,
            version=call.api_version,
            with_keys=with_keys,
            mask_webhook_url=self.options.mask_webhook_urls,
            registration_state=registration_state,
        )


@dataclass(frozen=True, kw_only=True)
class BulkOperation:
    """
    The operation POST /enrollments or POST /enrollmentGroups, with up to ten items.

    A call that is invalid as a whole is rejected. Recorded: a failed item is listed in the response,
    whose status is 200 even if all items failed.
    """

    enrollments: Enrollments

    def operation(self) -> Operation:
        """Returns the operation, at the path of the REST API specification."""
        root = self.enrollments.kind.path
        return Operation(
            name=f"{root}.bulk",
            method="POST",
            path=root,
            right=Right.ENROLLMENT_WRITE,
            run=self.run,
            is_bulk=True,
            count_items=self.count_items,
        )

    def run(self, call: Call) -> Response:
        """Runs the items in order. Documented: a failed one does not undo those before it."""
        mode, items = self._read_mode(call), self._read_items(call)
        self._check_items(mode, items)
        errors = [error for item in items if (error := self._run_item(mode, item))]
        return Response(200, {"errors": errors, "isSuccessful": not errors})

    def count_items(self, call: Call) -> int:
        """Returns the number of items for the quota, 1 if they cannot be read."""
        try:
            return max(1, len(self._read_items(call)))
        except ApiError:
            return 1

    @property
    def _modes(self) -> dict[str, Callable[[Item], None]]:
        # SDK: in no known case do update and updateIfMatchETag differ.
        return {
            "create": self._create,
            "update": self._update,
            "updateIfMatchETag": self._update,
            "delete": self._delete,
        }

    def _create(self, item: Item) -> None:
        self.enrollments.write(self._id(item), item, None)

    def _update(self, item: Item) -> None:
        """
        Replaces a record like a PUT with the item's etag as If-Match.

        Recorded: 409 without an etag. Assumed: 404 for a missing record, 412 for a stale etag.
        """
        self.enrollments.records.get(self._id(item))
        etag = item.get("etag")
        self.enrollments.write(self._id(item), item, None if etag is None else IfMatch(str(etag)))

    def _delete(self, item: Item) -> None:
        """Deletes a record. Recorded: no etag is needed. Assumed: an etag is ignored."""
        self.enrollments.records.delete(self._id(item), None)

    def _run_item(self, mode: str, item: Item) -> dict[str, Any] | None:
        try:
            self._modes[mode](item)
        except ApiError as error:
            return {
                self.enrollments.kind.id_member: self._id(item),
                "errorCode": error.type.code,
                "errorStatus": error.message,
            }
        return None

    def _id(self, item: Item) -> str:
        return str(item[self.enrollments.kind.id_member])

    def _read_member(self, call: Call, name: str) -> Any:
        shape = {"mode": tuple(self._modes), self.enrollments.kind.path: None}
        return spell(call.document, shape).get(name)

    def _read_mode(self, call: Call) -> str:
        mode = self._read_member(call, "mode")
        if not isinstance(mode, str) or mode not in self._modes:
            raise ApiError(INVALID_REQUEST, "Invalid mode")
        return mode

    def _read_items(self, call: Call) -> list[Item]:
        kind = self.enrollments.kind
        items = self._read_member(call, kind.path)
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise ApiError(INVALID_REQUEST, f"The {kind.path} are required")
        return [read_document(kind, item, call.api_version) for item in items]

    def _check_items(self, mode: str, items: list[Item]) -> None:
        """
        Raises ApiError 400 for a call that is invalid as a whole.

        Documented: more than ten items. SDK: an id given twice. Assumed: no items, an item without
        an id, and, if the options say so, a delete without attestations.
        """
        kind = self.enrollments.kind
        if not 0 < len(items) <= BULK_LIMIT:
            message = f"A bulk operation takes 1 to {BULK_LIMIT} items"
            raise ApiError(INVALID_REQUEST, message)
        if not all(isinstance(item.get(kind.id_member), str) for item in items):
            raise ApiError(INVALID_REQUEST, kind.invalid_id)
        if len({self._id(item).lower() for item in items}) < len(items):
            raise ApiError(INVALID_REQUEST, f"Each {kind.id_member} can be given once")
        is_bare = mode == "delete" and any(item.get("attestation") is None for item in items)
        if is_bare and self.enrollments.options.delete_needs_attestation:
            raise ApiError(INVALID_REQUEST, "The attestation is required")


@dataclass(frozen=True, kw_only=True)
class RegistrationStates:
    """The operations on registration states."""

    records: Records

    def operations(self) -> Iterator[Operation]:
        """Yields the operations, at the paths of the REST API specification."""
        read, write = Right.REGISTRATION_STATUS_READ, Right.REGISTRATION_STATUS_WRITE
        return _operations(
            "registrations",
            ("get", "GET", "registrations/{id}", read, self.get),
            ("delete", "DELETE", "registrations/{id}", write, self.delete),
            ("query", "POST", "registrations/{id}/query", read, self.query),
        )

    def get(self, call: Call) -> Response:
        """Returns a state. Recorded for devices of groups. SDK: for individual enrollments too."""
        return Response(200, show_registration(self.records.get(call.id)))

    def delete(self, call: Call) -> Response:
        """Deletes a state. Recorded: 204 without If-Match. Documented: 412 with a stale one."""
        self.records.delete(call.id, read_if_match(call.headers))
        return Response(204)

    def query(self, call: Call) -> Response:
        """
        Returns the registrations of one group.

        Recorded: the request needs no body. SDK: some clients send one. Assumed: a group that does
        not exist has no registrations.
        """
        group = call.id.lower()
        return create_page(
            call,
            (r for r in self.records if str(r.members.get(GROUP_ID, "")).lower() == group),
            query=f"registrations/{group}",
            item_type=self.records.kind.item_type,
            show=show_registration,
        )


def _operations(
    prefix: str, *rows: tuple[str, str, str, Right, Callable[[Call], Response]]
) -> Iterator[Operation]:
    for name, method, path, right, run in rows:
        yield Operation(name=f"{prefix}.{name}", method=method, path=path, right=right, run=run)


def service_api(
    options: Options, enrollments: Records, groups: Records, registrations: Records
) -> Iterator[Operation]:
    """Yields all operations of the service API on these records."""
    for records in (enrollments, groups):
        api = Enrollments(records=records, registrations=registrations, options=options)
        yield from api.operations()
    yield from RegistrationStates(records=registrations).operations()
