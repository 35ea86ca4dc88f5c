"""The spelling of members and enum values: DPS compares both ignoring case."""

from collections.abc import Collection, Mapping
from typing import Any, Final

# An object maps its members to their shapes, an enum is a tuple of its values. None: anything.
Shape = Mapping[str, Any] | tuple[str, ...] | None

# Of the info only the thumbprint is read.
_CERTIFICATE: Final = {"certificate": None, "info": {"sha256Thumbprint": None}}
_CERTIFICATES: Final = {"primary": _CERTIFICATE, "secondary": _CERTIFICATE}

ALLOCATION_POLICIES: Final = ("hashed", "geoLatency", "static", "custom")
PROVISIONING_STATUSES: Final = ("enabled", "disabled")
ATTESTATION: Final[Shape] = {
    "type": ("none", "tpm", "x509", "symmetricKey"),
    "tpm": {"endorsementKey": None, "storageRootKey": None},
    "x509": {
        "clientCertificates": _CERTIFICATES,
        "signingCertificates": _CERTIFICATES,
        "caReferences": {"primary": None, "secondary": None},
    },
    "symmetricKey": {"primaryKey": None, "secondaryKey": None},
}


def spell(value: Any, shape: Shape) -> Any:
    """
    Returns a copy of `value` with the names and enum values of `shape` in DPS's spelling.

    Reported for allocationPolicy: DPS takes `Hashed` (azure-sdk-for-python#35368) and `CUSTOM`
    (azure-iot-sdk-java#1286). Tested: it shows `geolatency` as geoLatency
    (azure-iot-cli-extension#464). Assumed for all other enums and for names, as .NET reads JSON; of
    two spellings of a name the last one counts.
    """
    if isinstance(shape, tuple):
        return _spell_name(value, shape) if isinstance(value, str) else value
    if shape is None or not isinstance(value, dict):
        return value
    spelled = ((_spell_name(name, shape), inner) for name, inner in value.items())
    return {name: spell(inner, shape.get(name)) for name, inner in spelled}


def _spell_name(name: str, known: Collection[str]) -> str:
    if name in known:
        return name
    return next((other for other in known if other.lower() == name.lower()), name)
