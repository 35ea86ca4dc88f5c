"""
Facts: the values of a request that rules can test, by name.

An absent or null fact is `None`. Key material of DPS is not a fact: no rule can test it, no
template can copy it.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from shared.allocation import hashing
from shared.allocation.certificates import CERTIFICATE_FACTS, read_certificate
from shared.allocation.request import AllocationRequest

Getter = Callable[[AllocationRequest], Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """One fact: how to read it from a request, and its description for users."""

    get: Getter
    description: str
    is_always_present: bool = False
    ignores_case: bool = False
    """Whether its values are compared without case, as DPS and hubs compare them."""


_LIST_INDEX = re.compile("[0-9]{1,6}")


def value_at(document: Any, path: Iterable[str]) -> Any:
    """Returns the value at a path of member names and list indexes, else None."""
    for step in path:
        if isinstance(document, Mapping):
            document = document.get(step)
        elif isinstance(document, list) and _LIST_INDEX.fullmatch(step):
            document = document[int(step)] if int(step) < len(document) else None
        else:
            return None
    return document


def _in_enrollment(*path: str) -> Getter:
    return lambda request: value_at(request.enrollment, path)


def _in_runtime_context(*path: str) -> Getter:
    return lambda request: value_at(request.runtime_context, path)


FACTS: Mapping[str, Fact] = {
    "registrationId": Fact(
        get=lambda request: request.registration_id,
        description="The device's registration id.",
        is_always_present=True,
        ignores_case=True,
    ),
    "enrollmentGroupId": Fact(
        get=lambda request: request.enrollment_group_id,
        description="The id of the enrollment group; absent for an individual enrollment.",
        ignores_case=True,
    ),
    "attestation": Fact(
        get=_in_enrollment("attestation", "type"),
        description="The device's attestation: `symmetricKey`, `x509` or `tpm`.",
    ),
    "deviceId": Fact(
        get=_in_enrollment("deviceId"),
        description="The device id set in an individual enrollment.",
    ),
    "iotEdge": Fact(
        get=_in_enrollment("capabilities", "iotEdge"),
        description="Whether the enrollment is for IoT Edge devices: `true` or `false`.",
    ),
    "currentHub": Fact(
        get=lambda request: request.current_hub,
        description="The hub the device is assigned to; absent at its first registration.",
        ignores_case=True,
    ),
    "currentDeviceId": Fact(
        get=_in_runtime_context("currentDeviceId"),
        description="The device's id on its current hub.",
    ),
    "percentile": Fact(
        get=lambda request: hashing.percentile(request.registration_id),
        description="A number from 0 up to, but not including, 100, derived from the registration "
        "id: evenly distributed, and always the same for one device. `lt` 5 is 5 % of devices.",
        is_always_present=True,
    ),
}


def _certificate(kind: str, which: str) -> Getter:
    return _in_enrollment("attestation", "x509", kind, which)


CERTIFICATES: Mapping[str, tuple[Getter, str]] = {
    "deviceCertificate": (
        _in_runtime_context("x509", "clientCertificate"),
        "The certificate the device presented, if DPS sends it.",
    )
} | {
    f"{kind}.{which}": (_certificate(kind, which), f"The {which} {description}.")
    for kind, description in (
        ("clientCertificates", "certificate of an individual enrollment"),
        ("signingCertificates", "signing certificate of an enrollment group"),
    )
    for which in ("primary", "secondary")
}
"""Certificates of a request; each has the facts of `CERTIFICATE_FACTS`."""

DOCUMENTS: Mapping[str, tuple[Getter, str]] = {
    "payload": (
        lambda request: request.payload,
        "The payload of the device's registration request; `payload.a.b` is a member of it.",
    ),
    "tags": (
        _in_enrollment("initialTwin", "tags"),
        "The tags in the enrollment's initial twin, such as `tags.region`.",
    ),
    "desired": (
        _in_enrollment("initialTwin", "properties", "desired"),
        "The desired properties in the enrollment's initial twin, such as `desired.model`.",
    ),
}
"""Documents whose members, at any depth, are facts."""


@cache
def find_fact(name: str) -> Fact | None:
    """Returns the fact of this name, else None."""
    if name in FACTS:
        return FACTS[name]
    root, *path = name.split(".")
    if root in DOCUMENTS and all(path):
        get, description = DOCUMENTS[root]
        return Fact(get=lambda request: value_at(get(request), path), description=description)
    certificate, _, member = name.rpartition(".")
    if certificate in CERTIFICATES and member in CERTIFICATE_FACTS:
        get, description = CERTIFICATES[certificate]
        return Fact(
            get=lambda request: read_certificate(get(request), member),
            description=description,
            ignores_case=CERTIFICATE_FACTS[member].ignores_case,
        )
    return None


class Facts(dict[str, Any]):
    """The facts of one request by name, each read on first use."""

    def __init__(self, request: AllocationRequest) -> None:
        super().__init__()
        self.request = request

    def __missing__(self, name: str) -> Any:
        fact = find_fact(name)
        value = self[name] = fact.get(self.request) if fact else None
        return value
