"""The operations on enrollments and, told a different kind, on enrollment groups."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.dps import attestation, documents
from local.dps.errors import Refused
from local.dps.etags import Condition, condition
from local.dps.options import Options
from local.dps.paging import check_query, page
from local.dps.records import Kind, Record, Records
from local.dps.registrations import state_of
from local.dps.replies import Call, Reply


@dataclass(frozen=True, kw_only=True)
class Enrollments:
    """Get, create or update, delete, query, attestation mechanism; `bulk` adds the sixth."""

    records: Records
    registrations: Records
    options: Options

    @property
    def kind(self) -> Kind:
        """Whether these are enrollments or groups."""
        return self.records.kind

    def get(self, call: Call) -> Reply:
        """R: without keys, and with the registration state if it is an individual enrollment."""
        record = self.records.get(call.id)
        state = None
        if self.kind.has_registration_state:
            state = state_of(self.registrations, record.id)
        return Reply(200, self._show(record, state=state))

    def put(self, call: Call) -> Reply:
        """R: 200 for a create and for an update, keys included."""
        record = self.write(call.id, call.document, condition(call.headers.get("If-Match")))
        return Reply(200, self._show(record, with_keys=True))

    def delete(self, call: Call) -> Reply:
        """R: 204; D: what has registered through the record stays registered."""
        self.records.delete(call.id, condition(call.headers.get("If-Match")))
        return Reply(204)

    def query(self, call: Call) -> Reply:
        """R: as GET, but never with a registration state."""
        check_query(call)
        kind = self.kind
        return page(call, self.records, of=kind.path, item_type=kind.item_type, show=self._show)

    def attestation_mechanism(self, call: Call) -> Reply:
        """R: the attestation, keys included."""
        kept = self.records.get(call.id).members["attestation"]
        return Reply(200, attestation.shown(kept, with_keys=True))

    def write(self, id_: str, document: Mapping[str, Any], if_match: Condition | None) -> Record:
        """Creates a record without `if_match`, replaces it with; I: 409 if it exists without."""
        documents.check_id(self.kind, document, id_)
        documents.check(document, self.options.linked_hubs)
        stored = self.records.find(id_)
        members = documents.keep(self.kind, document)
        members["attestation"] = attestation.accept(
            self.kind,
            document.get("attestation"),
            stored.members["attestation"] if stored else {},
            keep_keys=self.options.keep_keys_on_update,
        )
        if if_match:
            self.records.expect(id_, if_match)
        elif stored:
            raise Refused(self.kind.exists)
        return self.records.write(id_, members)

    def _show(
        self, record: Record, *, with_keys: bool = False, state: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        return documents.show(
            self.kind,
            record,
            with_keys=with_keys,
            mask_webhook_url=self.options.mask_webhook_urls,
            state=state,
        )
