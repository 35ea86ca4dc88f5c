"""Devices that have proven who they are, and the entries that let them in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from local.dps.records import Kind, Record

Members = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The individual enrollment or the enrollment group of a device."""

    kind: Kind
    record: Record

    @property
    def is_individual(self) -> bool:
        """Whether it is for this one device."""
        return self.kind.has_registration_state

    @property
    def group_id(self) -> str | None:
        """The group's id, if it is a group."""
        return None if self.is_individual else self.record.id

    @property
    def is_enabled(self) -> bool:
        """D: enabled, unless it says otherwise."""
        return self.record.members.get("provisioningStatus") != "disabled"

    def member(self, name: str, default: Any = None) -> Any:
        """A member of the document."""
        return self.record.members.get(name, default)


@dataclass(frozen=True, kw_only=True)
class Attested:
    """One device; `context` is what a webhook is told of its attestation.

    Only a TPM's device gets this far without an entry: its registration fails (E).
    """

    registration_id: str
    attestation: str  # symmetricKey, x509 or tpm
    context: Members = field(repr=False)
    entry: Entry | None

    @property
    def shown(self) -> Members:
        """What a device's own view of its registration tells of its attestation.

        I: devices' logs show x509 with the group, and empty without one; R: no symmetricKey
        without a group; D: with one. ?: no tpm, for its authenticationKey takes a challenge.
        """
        group = self.entry.group_id if self.entry else None
        told = {} if group is None else {"enrollmentGroupId": group}
        if self.attestation == "x509" or (self.attestation == "symmetricKey" and told):
            return {self.attestation: told}
        return {}
