"""
Creates the keys and certificates of all tests.

After each test `tests/conftest.py` searches the log, errors and the output of child processes for
them.
"""

import base64
import hmac
import secrets
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

created: list[str] = []
"""All secrets that were created in this process."""

outputs: list[str] = []
"""Output of child processes and bodies of error responses in the running test."""

_MIN_LENGTH = 8


def symmetric_key(nbytes: int = 32) -> str:
    """Returns a new key of `nbytes` bytes, in base64."""
    return _remember(base64.b64encode(secrets.token_bytes(nbytes)).decode())


def function_key() -> str:
    """Returns a new function key of letters and digits, which need no encoding in a URL."""
    return _remember(secrets.token_hex(20))


def connection_string(host: str, *, key: str | None = None) -> str:
    """Returns a connection string of DPS, with a new key unless one is given."""
    key = key or symmetric_key()
    return f"HostName={host};SharedAccessKeyName=owner;SharedAccessKey={key}"


def service_bus(namespace: str, *, key: str | None = None) -> str:
    """Returns a connection string of Service Bus, with a new key unless one is given."""
    key = key or symmetric_key()
    return f"Endpoint=sb://{namespace}/;SharedAccessKeyName=app;SharedAccessKey={key}"


def access_policy(*rights: str, name: str = "owner") -> dict[str, str]:
    """Returns a shared access policy with new keys, as in the setting SHARED_ACCESS_POLICIES."""
    keys = {"primaryKey": symmetric_key(), "secondaryKey": symmetric_key()}
    return {"keyName": name, **keys, "rights": ", ".join(rights)}


def shared_access_signature(
    resource: str,
    key: str,
    *,
    name: str | None = "owner",
    expiry: float | None = None,
    is_encoded: bool = False,
) -> str:
    """Returns an `Authorization` header for the resource; by default it is valid for an hour."""
    signed = resource if is_encoded else quote(resource, safe="")
    seconds = int(time.time() + 3600 if expiry is None else expiry)
    digest = hmac.digest(base64.b64decode(key), f"{signed}\n{seconds}".encode(), "sha256")
    signature = quote(_remember(base64.b64encode(digest).decode()), safe="")
    policy = "" if name is None else f"&skn={name}"
    return f"SharedAccessSignature sr={signed}&sig={signature}&se={seconds}{policy}"


def endorsement_key() -> str:
    """Returns a new text of the size of a TPM's endorsement key."""
    return symmetric_key(314)


def certificate(
    common_name: str, *, days: int = 30, serial_number: int | None = None, organization: str = ""
) -> str:
    """Returns a new self-signed certificate as PEM, without its private key."""
    names = [x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)]
    if organization:
        names.insert(0, x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, organization))
    name = x509.Name(names)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial_number or x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    return _remember(signed.public_bytes(serialization.Encoding.PEM).decode())


def _remember(secret: str) -> str:
    # Shorter ones occur in other texts by chance.
    if len(secret) >= _MIN_LENGTH:
        created.append(secret)
    return secret
