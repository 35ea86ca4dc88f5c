"""Who a device is, and how it proves it."""

import base64
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from local.dps.signatures import digest

LIFETIME_SECONDS: Final = 3600


@dataclass(frozen=True, kw_only=True, repr=False)
class Identity:
    """A registration id, and one of: a symmetric key, a certificate, a TPM's endorsement key."""

    id_scope: str
    registration_id: str
    key: str | None = None
    certificate: Path | None = None
    private_key: Path | None = None  # None: in the file of the certificate
    endorsement_key: str | None = None

    @property
    def path(self) -> str:
        """The device's own path, percent-encoded."""
        return f"{self.id_scope}/registrations/{quote(self.registration_id, safe='')}"

    def headers(self) -> Mapping[str, str]:
        """The signature of a device with a key (D: the docs' Control access for devices)."""
        if self.key is None:
            return {}
        resource = quote(f"{self.id_scope}/registrations/{self.registration_id}", safe="")
        expiry = int(time.time()) + LIFETIME_SECONDS
        signed = base64.b64encode(digest(self.key, f"{resource}\n{expiry}".encode())).decode()
        fields = f"sr={resource}&sig={quote(signed, safe='')}&se={expiry}&skn=registration"
        return {"Authorization": f"SharedAccessSignature {fields}"}

    def document(self, payload: Any = None) -> dict[str, Any]:
        """The body of a registration."""
        document: dict[str, Any] = {"registrationId": self.registration_id}
        if self.endorsement_key is not None:
            document["tpm"] = {"endorsementKey": self.endorsement_key}
        if payload is not None:
            document["payload"] = payload
        return document

    def present(self, context: ssl.SSLContext) -> None:
        """Has connections present the certificate, if the device has one; OSError if unreadable."""
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.private_key)
