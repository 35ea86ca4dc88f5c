"""
Facts: what a rule may ask about a request, by name.

A fact that is not there, or is null, is `None`. DPS's key material is no fact: no rule can test it,
no template can copy it.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from shared.allocation import hashing
from shared.allocation.certificates import MEMBERS, member_of
from shared.allocation.requests import AllocationRequest

Look = Callable[[AllocationRequest], Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """One fact, or all facts that lie below one name."""

    look: Look
    meaning: str
    always: bool = False
    """Whether every request has it."""
    ignores_case: bool = False
    """Whether DPS, or whoever writes it, treats capitals and small letters alike."""


_POSITION = re.compile("[0-9]{1,6}")


def at(document: Any, steps: Iterable[str]) -> Any:
    """What stands at a path of member names and list positions; `None` if nothing does."""
    for step in steps:
        if isinstance(document, Mapping):
            document = document.get(step)
        elif isinstance(document, list) and _POSITION.fullmatch(step):
            document = document[int(step)] if int(step) < len(document) else None
        else:
            return None
    return document


def _in_enrollment(*steps: str) -> Look:
    return lambda request: at(request.enrollment, steps)


def _in_runtime_context(*steps: str) -> Look:
    return lambda request: at(request.runtime_context, steps)


FACTS: Mapping[str, Fact] = {
    "registrationId": Fact(
        look=lambda request: request.registration_id,
        meaning="The device's registration id.",
        always=True,
        ignores_case=True,
    ),
    "enrollmentGroupId": Fact(
        look=lambda request: request.enrollment_group_id,
        meaning="The id of the enrollment group; an individual enrollment has none.",
        ignores_case=True,
    ),
    "attestation": Fact(
        look=_in_enrollment("attestation", "type"),
        meaning="How the device proves itself: `symmetricKey`, `x509` or `tpm`.",
    ),
    "deviceId": Fact(
        look=_in_enrollment("deviceId"),
        meaning="The device id that an individual enrollment sets.",
    ),
    "iotEdge": Fact(
        look=_in_enrollment("capabilities", "iotEdge"),
        meaning="Whether the enrollment is for IoT Edge devices: `true` or `false`.",
    ),
    "currentHub": Fact(
        look=lambda request: request.current_hub,
        meaning="The hub the device is assigned to; at its first registration there is none.",
        ignores_case=True,
    ),
    "currentDeviceId": Fact(
        look=_in_runtime_context("currentDeviceId"),
        meaning="The device id the device has on that hub.",
    ),
    "percentile": Fact(
        look=lambda request: hashing.percentile(request.registration_id),
        meaning="A number from 0 up to 100, evenly spread over devices and always the same for "
        "one: `lt` 5 is five devices in a hundred.",
        always=True,
    ),
}


def _certificate(family: str, which: str) -> Look:
    return _in_enrollment("attestation", "x509", family, which)


CERTIFICATES: Mapping[str, tuple[Look, str]] = {
    "deviceCertificate": (
        _in_runtime_context("x509", "clientCertificate"),
        "The certificate that the device showed, where DPS sends it.",
    )
} | {
    f"{family}.{which}": (_certificate(family, which), f"The {which} {words}.")
    for family, words in (
        ("clientCertificates", "certificate of an individual enrollment"),
        ("signingCertificates", "signing certificate of an enrollment group"),
    )
    for which in ("primary", "secondary")
}
"""Where certificates are found; each has the members of `certificates.MEMBERS`."""

FAMILIES: Mapping[str, tuple[Look, str]] = {
    "payload": (
        lambda request: request.payload,
        "What the device sent along when it registered; `payload.a.b` is a member of it.",
    ),
    "tags": (
        _in_enrollment("initialTwin", "tags"),
        "The tags in the enrollment's initial twin, as `tags.region`.",
    ),
    "desired": (
        _in_enrollment("initialTwin", "properties", "desired"),
        "The desired properties in the enrollment's initial twin, as `desired.model`.",
    ),
}
"""Documents whose members are facts, at any depth."""


@cache
def fact_of(name: str) -> Fact | None:
    """The fact of a name; `None` if there can be none."""
    if name in FACTS:
        return FACTS[name]
    family, *steps = name.split(".")
    if family in FAMILIES and all(steps):
        look, meaning = FAMILIES[family]
        return Fact(look=lambda request: at(look(request), steps), meaning=meaning)
    place, _, member = name.rpartition(".")
    if place in CERTIFICATES and member in MEMBERS:
        look, meaning = CERTIFICATES[place]
        return Fact(
            look=lambda request: member_of(look(request), member),
            meaning=meaning,
            ignores_case=MEMBERS[member].ignores_case,
        )
    return None


class Facts(dict[str, Any]):
    """The facts of one request by name, each looked up when first asked for."""

    def __init__(self, request: AllocationRequest) -> None:
        super().__init__()
        self.request = request

    def __missing__(self, name: str) -> Any:
        fact = fact_of(name)
        value = self[name] = fact.look(self.request) if fact else None
        return value
