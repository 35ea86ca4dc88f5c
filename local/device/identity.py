"""The identity of a device and its proof: a key, a certificate or a TPM."""

import base64
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from shared.shared_access import digest

SIGNATURE_LIFETIME_SECONDS: Final = 3600


@dataclass(frozen=True, kw_only=True, repr=False)
class Identity:
    """A registration id with one of: symmetric key, certificate, endorsement key of a TPM."""

    id_scope: str
    registration_id: str
    key: str | None = None
    certificate: Path | None = None
    private_key: Path | None = None  # None: it is in the certificate file
    endorsement_key: str | None = None

    @property
    def path(self) -> str:
        """The percent-encoded URL path of the registration, without a leading slash."""
        return f"{self.id_scope}/registrations/{quote(self.registration_id, safe='')}"

    def headers(self) -> Mapping[str, str]:
        """
        Returns the Authorization header of a device with a symmetric key, else no headers.

        Documented: Control access to DPS for devices.
        """
        if self.key is None:
            return {}
        resource = quote(f"{self.id_scope}/registrations/{self.registration_id}", safe="")
        expiry = int(time.time()) + SIGNATURE_LIFETIME_SECONDS
        signature = base64.b64encode(digest(self.key, f"{resource}\n{expiry}".encode())).decode()
        fields = f"sr={resource}&sig={quote(signature, safe='')}&se={expiry}&skn=registration"
        return {"Authorization": f"SharedAccessSignature {fields}"}

    def document(self, payload: Any = None) -> dict[str, Any]:
        """Returns the body of a registration request."""
        document: dict[str, Any] = {"registrationId": self.registration_id}
        if self.endorsement_key is not None:
            document["tpm"] = {"endorsementKey": self.endorsement_key}
        if payload is not None:
            document["payload"] = payload
        return document

    def load_certificate_into(self, context: ssl.SSLContext) -> None:
        """Loads the certificate, if there is one, into a TLS context; raises OSError."""
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.private_key)
