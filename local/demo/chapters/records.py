"""What is done to enrollments and to groups alike, with the SDK."""

from collections.abc import Iterator, Mapping
from typing import Any

from azure.iot.deviceprovisioning.operations import EnrollmentGroupOperations, EnrollmentOperations

from local.demo.checks import expect, expect_same, two_keys
from local.demo.examples import Document
from local.demo.scene import Written
from local.demo.steps import NothingToShowError, UnexpectedError

Operations = EnrollmentOperations | EnrollmentGroupOperations

# What DPS writes itself, whatever a document says; the attestation is looked at on its own.
_DPS_OWN = {"registrationState", "createdDateTimeUtc", "lastUpdatedDateTimeUtc", "etag"}
_APART = _DPS_OWN | {"attestation", "deviceId"}


def create(on: Operations, id_: str, document: Document, written: dict[str, Written]) -> str:
    """Puts a record that is not there yet; keys that DPS makes come back, this once."""
    stored = dict(on.create_or_update(id_, document))
    written[id_] = Written(document, stored)
    expect("etag", bool(stored.get("etag")), wanted=True)
    same_members(id_, document, stored)
    text = ", ".join(_traits(stored))
    if stored["attestation"]["type"] != "symmetricKey":
        return text
    two_keys(stored["attestation"])
    return f"{text}; keys ****"


def read_back(on: Operations, written: Mapping[str, Written]) -> str:
    """Gets every record: all members as they were sent, and no key."""
    if not written:
        raise NothingToShowError("none was written")
    for id_, record in written.items():
        stored = on.get(id_)
        expect(f"etag of {id_} unchanged", stored["etag"] == record.answer["etag"], wanted=True)
        same_members(id_, record.sent, stored)
        _same_attestation(id_, record.sent["attestation"], stored["attestation"])
    return f"{len(written)} as in their files; no keys"


def attestation_mechanisms(on: Operations, written: Mapping[str, Written]) -> str:
    """The one way to read keys: the same that came back when the records were created."""
    created = {id_: record.answer["attestation"] for id_, record in written.items()}
    keyed = {id_: given for id_, given in created.items() if given["type"] == "symmetricKey"}
    if not keyed:
        raise NothingToShowError("none has keys")
    for id_, given in keyed.items():
        same = two_keys(on.get_attestation_mechanism(id_)) == two_keys(given)
        expect(f"{id_} has the keys of its creation", same, wanted=True)
    return f"{len(keyed)} read, the same as when created"


def _traits(stored: Mapping[str, Any]) -> Iterator[str]:
    yield stored["attestation"]["type"]
    if policy := stored.get("allocationPolicy"):
        yield policy
    if (stored.get("capabilities") or {}).get("iotEdge"):
        yield "IoT Edge"
    if stored.get("provisioningStatus") == "disabled":
        yield "disabled"


def same_members(id_: str, sent: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    """All that was sent is there, but for what DPS writes itself and the attestation."""
    expect_same(id_, {name: sent[name] for name in sent if name not in _APART}, stored)
    # An empty deviceId means none.
    expect_same(id_, {"deviceId": sent.get("deviceId") or None}, stored)


def _same_attestation(id_: str, sent: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    expect(f"keys of {id_} in the answer", stored.get("symmetricKey"), None)
    expect_same(id_, {"type": sent["type"], "tpm": sent.get("tpm")}, stored)
    for kind, certificates in (sent.get("x509") or {}).items():
        for slot in certificates or {}:
            found = stored["x509"][kind][slot]
            if kind != "caReferences" and "sha256Thumbprint" not in found["info"]:
                raise UnexpectedError(f"{id_}: DPS has not read the {slot} certificate")
