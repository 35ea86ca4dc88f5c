"""The symmetric keys in the attestation of a record, which DPS returns only where asked for them."""

from collections.abc import Mapping
from typing import Any

_KEYS = ("primaryKey", "secondaryKey")

JsonObject = Mapping[str, Any]


def omits_keys(document: JsonObject) -> bool:
    """Returns whether the document has symmetric key attestation without both keys."""
    attestation = document["attestation"]
    given = attestation.get("symmetricKey") or {}
    return attestation["type"] == "symmetricKey" and not all(given.get(key) for key in _KEYS)


def with_stored_keys(document: JsonObject, mechanism: JsonObject) -> JsonObject:
    """Returns the document with the keys of an attestation mechanism that it does not have."""
    # Whether DPS keeps keys that a PUT does not have is not documented.
    attestation = document["attestation"]
    given = attestation.get("symmetricKey") or {}
    stored = mechanism.get("symmetricKey") or {}
    kept = {key: stored[key] for key in _KEYS if key in stored and not given.get(key)}
    return {**document, "attestation": {**attestation, "symmetricKey": {**given, **kept}}}
