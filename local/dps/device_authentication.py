"""Which device calls: by symmetric key, certificate or TPM."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from local.dps.attested import Attested, Entry
from local.dps.entries import Entries
from local.dps.errors import Refused
from local.dps.options import Options
from local.dps.replies import Call
from local.dps.rules import UNAUTHORIZED
from local.dps.signatures import Signature, read_signature
from local.dps.timestamps import SECOND

KEY_NAME = "registration"  # D: the skn of a device's signature


@dataclass(frozen=True, kw_only=True)
class DeviceAuthentication:
    """Finds the device behind a call; 401 for whoever is none (E; ?: for a foreign scope too)."""

    options: Options
    entries: Entries

    def check(self, call: Call, tpm: Mapping[str, Any] | None = None) -> Attested:
        """The device; `tpm` is what it says of its TPM, if it says anything."""
        device = self._device(call, tpm) if self._is_our_scope(call) else None
        if device is None:
            raise Refused(UNAUTHORIZED)
        return device

    def _is_our_scope(self, call: Call) -> bool:
        return call.scope.lower() == self.options.id_scope.lower()

    def _device(self, call: Call, tpm: Mapping[str, Any] | None) -> Attested | None:
        signature = read_signature(call.headers.get("Authorization"))
        if signature:
            return self._by_key(call, signature)
        if call.certificates:
            return self._by_certificate(call)
        return self._by_tpm(call, tpm) if tpm else None

    def _by_key(self, call: Call, signature: Signature) -> Attested | None:
        meant = f"{call.scope}/registrations/{call.id}".lower()
        is_good = signature.resource.lower() == meant and signature.is_in_time(self.options.clock())
        if not is_good or signature.key_name not in (None, KEY_NAME):  # ?: skn may be missing
            return None
        entry = self.entries.by_key(call.id, signature)
        return _attested(call, entry, "symmetricKey", {}) if entry else None

    def _by_certificate(self, call: Call) -> Attested | None:
        """D: the registration id is the certificate's common name."""
        own = call.certificates[0]
        if call.id.lower() not in _common_names(own):
            return None
        at = datetime.fromtimestamp(self.options.clock() / SECOND, UTC)
        entry = self.entries.by_certificate(call.id, call.certificates, at)
        # ?: the shape of the certificate, which is not published.
        der = own.public_bytes(serialization.Encoding.DER)
        context = {"clientCertificate": base64.b64encode(der).decode()}
        return _attested(call, entry, "x509", context) if entry else None

    def _by_tpm(self, call: Call, tpm: Mapping[str, Any]) -> Attested:
        """The device is believed: the challenge that would prove its key is not done."""
        entry = self.entries.by_endorsement_key(call.id, tpm["endorsementKey"])
        return _attested(call, entry, "tpm", tpm)


def _common_names(certificate: x509.Certificate) -> list[str]:
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return [str(name.value).lower() for name in names]


def _attested(
    call: Call, entry: Entry | None, attestation: str, context: Mapping[str, Any]
) -> Attested:
    # An individual enrollment has spelled the id before the device did.
    id_ = entry.record.id if entry and entry.is_individual else call.id
    return Attested(registration_id=id_, attestation=attestation, context=context, entry=entry)
