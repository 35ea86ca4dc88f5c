"""Comparing a stored record with what was asked: what counts, and what does not."""

import hashlib
from base64 import b64decode
from typing import Any

import pytest

from shared.dps.comparison import is_as_asked
from tests.secret_factory import certificate, symmetric_key

PEM = certificate("dev-1")
DER = "".join(PEM.split("-----")[2].split())
THUMBPRINT = hashlib.sha256(b64decode(DER)).hexdigest().upper()
KEY, OTHER_KEY = symmetric_key(), symmetric_key()


def keys(**members: Any) -> dict[str, Any]:
    """A record attested by symmetric keys."""
    return {"attestation": {"type": "symmetricKey", "symmetricKey": members}}


def certified(**primary: Any) -> dict[str, Any]:
    """A record attested by a client certificate."""
    return {"attestation": {"x509": {"clientCertificates": {"primary": primary}}}}


def webhook(url: str) -> dict[str, Any]:
    """A record with a webhook."""
    return {"customAllocationDefinition": {"webhookUrl": url, "apiVersion": "2021-10-01"}}


STORED_CERTIFICATE = certified(info={"sha256Thumbprint": THUMBPRINT})


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ({"registrationId": "Dev-1"}, {"registrationId": "dev-1"}),
        ({"allocationPolicy": "hashed", "provisioningStatus": "enabled"}, {}),
        ({"reprovisionPolicy": {"migrateDeviceData": True}}, {"reprovisionPolicy": {}}),
        ({"enrollmentGroupId": "G"}, {"enrollmentGroupId": "g"}),
        ({}, {"deviceId": None, "iotHubs": [], "initialTwin": {}, "capabilities": {"x": None}}),
        ({"etag": "new"}, {"etag": "old", "createdDateTimeUtc": "x", "registrationState": {}}),
        ({"a": {"b": [1, {"c": 2}], "d": None}}, {"a": {"b": [1.0, {"c": 2}], "e": {}}}),
        (keys(primaryKey=KEY, secondaryKey=OTHER_KEY), keys(primaryKey=KEY, secondaryKey="")),
        ({"attestation": {"type": "symmetricKey"}}, keys(primaryKey=None)),
        (STORED_CERTIFICATE, certified(certificate=PEM)),
        (STORED_CERTIFICATE, certified(certificate=DER)),
        (STORED_CERTIFICATE, certified(info={"sha256Thumbprint": THUMBPRINT.lower()})),
        (STORED_CERTIFICATE, certified(certificate=f"subject=CN = dev-1\n{PEM}")),
        (STORED_CERTIFICATE, certified(certificate=PEM, info={"sha256Thumbprint": "00"})),
        (webhook("https://x/y?****"), webhook("https://x/y?code=1")),
        (webhook("https://x/y?code=1"), webhook("https://x/y?****")),
    ],
)
def test_record_that_holds_what_was_asked(stored, asked):
    """Nulls, keys not given, read-only members, defaults and masks make no difference."""
    assert is_as_asked(stored, asked)


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ({"registrationId": "dev-1"}, {"registrationId": "dev-2"}),
        ({}, {"deviceId": "d"}),
        ({"deviceId": "d"}, {}),
        ({"initialTwin": {"tags": {"a": 1, "b": 2}}}, {"initialTwin": {"tags": {"a": 1}}}),
        ({"initialTwin": {"tags": {"a": 1}}}, {"initialTwin": {"tags": {}}}),
        ({"iotHubs": ["a"]}, {"iotHubs": []}),
        ({"reprovisionPolicy": {"a": 1}}, {"reprovisionPolicy": {"a": 2}}),
        (STORED_CERTIFICATE, {"attestation": {"x509": {"clientCertificates": {"primary": None}}}}),
        (STORED_CERTIFICATE, certified(certificate="no certificate")),
        (STORED_CERTIFICATE, certified(certificate=certificate("dev-2"), info={"version": 3})),
        ({"capabilities": {"iotEdge": 1}}, {"capabilities": {"iotEdge": True}}),
        ({"iotHubs": ["a"]}, {"iotHubs": ["a", "b"]}),
        ({"initialTwin": {"tags": {"a": "x"}}}, {"initialTwin": {"tags": {"a": {"b": 1}}}}),
        ({"initialTwin": {"tags": {"etag": "x"}}}, {"initialTwin": {"tags": {"etag": "y"}}}),
        (keys(primaryKey=OTHER_KEY), keys(primaryKey=KEY)),
        (certified(info={"sha256Thumbprint": "00"}), certified(certificate=PEM)),
        ({"attestation": {"type": "none"}}, certified(certificate=PEM)),
        (webhook("https://x/y?****"), webhook("https://x/z?code=1")),
        (webhook("https://x/y?code=1"), webhook("https://x/y?code=2")),
    ],
)
def test_record_that_is_another(stored, asked):
    """What is missing, otherwise, or there without having been asked for makes another record."""
    assert not is_as_asked(stored, asked)
