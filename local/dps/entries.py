"""The entry that lets a device in: its own enrollment, or a group that it proves to be of.

D: concepts-service. An individual enrollment with the device's id comes before all groups; ?: it
decides even if the device proves to be a member of a group.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from local.dps.attested import Entry
from local.dps.certificates import load_certificate
from local.dps.chains import distance
from local.dps.records import Record, Records
from local.dps.signatures import Signature, derived_key


@dataclass(frozen=True, kw_only=True)
class Entries:
    """Finds the entry of a device by what it proves; None for a stranger."""

    enrollments: Records
    groups: Records

    def by_key(self, id_: str, signature: Signature) -> Entry | None:
        """E: either key will do, but a group's only derived for this very device."""
        individual = self.enrollments.find(id_)
        if individual:
            return self._individual(individual) if signature.is_by(_keys(individual)) else None
        for group in self.groups:
            if signature.is_by(derived_key(key, id_) for key in _keys(group)):
                return self._group(group)
        return None

    def by_certificate(
        self, id_: str, chain: Sequence[x509.Certificate], at: datetime
    ) -> Entry | None:
        """D: the enrollment with its thumbprint, or the group of an authority that it is below."""
        individual = self.enrollments.find(id_)
        if individual is None:
            return self._nearest_group(chain, at)
        # Its time is not over: the handshake would have failed.
        is_own = _thumbprint(chain[0]) in _thumbprints(individual)
        return self._individual(individual) if is_own else None

    def by_endorsement_key(self, id_: str, key: str) -> Entry | None:
        """The enrollment with this key, which is public and proves nothing."""
        individual = self.enrollments.find(id_)
        if individual is None or _detail(individual, "tpm").get("endorsementKey") != key:
            return None
        return self._individual(individual)

    def _nearest_group(self, chain: Sequence[x509.Certificate], at: datetime) -> Entry | None:
        """D: concepts-x509-attestation, from the intermediate nearest to the device to the root."""
        found = [
            (steps, group)
            for group in self.groups
            for authority in _authorities(group)
            if (steps := distance(chain, authority, at)) is not None
        ]
        nearest = min(found, key=lambda one: one[0], default=None)
        return self._group(nearest[1]) if nearest else None

    def _individual(self, record: Record) -> Entry:
        return Entry(kind=self.enrollments.kind, record=record)

    def _group(self, record: Record) -> Entry:
        return Entry(kind=self.groups.kind, record=record)


def _detail(record: Record, type_: str) -> Mapping[str, Any]:
    detail: Mapping[str, Any] = record.members["attestation"].get(type_) or {}
    return detail


def _keys(record: Record) -> list[str]:
    keys = _detail(record, "symmetricKey")
    return [keys[name] for name in ("primaryKey", "secondaryKey") if name in keys]


def _thumbprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex().upper()


def _thumbprints(record: Record) -> list[str]:
    slots = _detail(record, "x509").get("clientCertificates", {})
    return [slot["info"]["sha256Thumbprint"] for slot in slots.values()]


def _authorities(record: Record) -> Iterator[x509.Certificate]:
    """?: none behind caReferences, for the stand-in has no uploaded authorities."""
    for slot in _detail(record, "x509").get("signingCertificates", {}).values():
        yield load_certificate(slot["certificate"])
