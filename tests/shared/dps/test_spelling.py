"""Spelling: known members and enum values in any case, typing errors, and what is left alone."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic.alias_generators import to_camel

from shared.dps.models import (
    ENROLLMENT_GROUP,
    INDIVIDUAL_ENROLLMENT,
    AllocationPolicy,
    AttestationType,
    BulkMode,
    Document,
    EnrollmentGroup,
    IndividualEnrollment,
    ProvisioningStatus,
    RecordKind,
    find_faults,
    respelled,
)
from tests.shared.dps.documents import individual

KINDS = [INDIVIDUAL_ENROLLMENT, ENROLLMENT_GROUP]
FREE_FORM = ["initialTwin", "optionalDeviceInformation"]
# Every member of these, in every model of a record.
OBJECTS = individual(
    attestation={
        "type": "x509",
        "tpm": {"endorsementKey": "e", "storageRootKey": "s"},
        "x509": {
            "clientCertificates": {"primary": {"certificate": "c", "info": {"version": 3}}},
            "signingCertificates": {"secondary": {"info": {"sha1Thumbprint": "t"}}},
            "caReferences": {"primary": "ca", "secondary": "ca"},
        },
        "symmetricKey": {"primaryKey": "p", "secondaryKey": "s"},
    },
    capabilities={"iotEdge": True},
    reprovisionPolicy={"updateHubAssignment": True, "migrateDeviceData": False},
    customAllocationDefinition={"webhookUrl": "https://x/A", "apiVersion": "2021-10-01"},
    iotHubs=["Hub-1"],
    iotHubHostName="Hub-1",
)


def in_case(change: Any, node: Any) -> Any:
    """Returns a document with the names of all members changed."""
    if isinstance(node, list):
        return [in_case(change, item) for item in node]
    if not isinstance(node, dict):
        return node
    return {change(name): in_case(change, value) for name, value in node.items()}


@pytest.mark.parametrize("change", [str.lower, str.upper, str.title])
def test_every_member_is_known_in_any_case(change: Any) -> None:
    """At every level, without a change of texts."""
    assert respelled(in_case(change, OBJECTS), IndividualEnrollment) == OBJECTS


@pytest.mark.parametrize("kind", KINDS)
def test_every_member_of_a_record_is_known_in_any_case(kind: RecordKind) -> None:
    """Of individual enrollments and of groups."""
    names = [to_camel(name) for name in kind.record.model_fields]

    assert list(respelled({name.upper(): 1 for name in names}, kind.record)) == names


VALUES = [
    *[("allocationPolicy", value) for value in AllocationPolicy],
    *[("provisioningStatus", value) for value in ProvisioningStatus],
    *[("attestation", {"type": value}) for value in AttestationType],
]


@pytest.mark.parametrize(("member", "value"), VALUES)
@pytest.mark.parametrize("change", [str.lower, str.upper, lambda text: text[0].upper() + text[1:]])
def test_every_enum_value_is_known_in_any_case(member: str, value: Any, change: Any) -> None:
    """As ARM, Bicep, Terraform and other clients of DPS write them."""
    sent = {"type": change(value["type"])} if isinstance(value, dict) else change(value)

    assert respelled({member: sent}, EnrollmentGroup) == {member: value}


@pytest.mark.parametrize("mode", BulkMode)
def test_records_of_a_bulk_operation_are_respelled_with_it(mode: BulkMode) -> None:
    """In one call."""
    sent = {"MODE": mode.upper(), "Enrollments": [in_case(str.upper, OBJECTS), 5, None]}

    expected = {"mode": mode, "enrollments": [OBJECTS, 5, None]}
    assert respelled(sent, INDIVIDUAL_ENROLLMENT.bulk) == expected


@pytest.mark.parametrize("member", FREE_FORM)
def test_free_form_objects_are_left_alone(member: str) -> None:
    """Their members are the user's own, whatever they are called."""
    value: dict[str, Any] = {
        "Tags": {"ProvisioningStatus": "Enabled", "etag": 1, "ETAG": 2, "iotHub": 3}
    }
    value |= {"provisioningstatus": "ENABLED", "iotHub": "x", "propertie": {}}
    document = individual(**{member: value})

    assert respelled(document, IndividualEnrollment) == document
    assert find_faults(document, IndividualEnrollment) == {}


@pytest.mark.parametrize("document", [None, 5, "Hashed", ["Hashed"], {}, {"": {"": 1}}])
def test_other_documents_are_left_alone(document: Any) -> None:
    """Also those that are no objects."""
    assert respelled(document, IndividualEnrollment) == document


@pytest.mark.parametrize(
    ("names", "extra"),
    [
        (["etag", "ETag"], "ETag"),
        (["ETag", "etag"], "ETag"),
        (["ETag", "ETAG"], "ETAG"),
    ],
)
def test_member_in_two_spellings_is_a_fault_with_both_names(names: list[str], extra: str) -> None:
    """DPS's own spelling is the right one, or else the first."""
    document = respelled(individual(**dict.fromkeys(names, "x")), IndividualEnrollment)

    assert find_faults(document, IndividualEnrollment) == {
        f"/{extra}": "must not appear beside etag, which is the same member in another case"
    }


def mistyped(name: str) -> Iterator[str]:
    """Yields a name with one letter missing, doubled, replaced, and swapped with the next."""
    for at in range(len(name)):
        yield name[:at] + name[at + 1 :]
        yield name[:at] + "q" + name[at:]
        yield name[:at] + "q" + name[at + 1 :]
        if name[at : at + 2] != name[at : at + 2][::-1]:
            yield name[:at] + name[at : at + 2][::-1] + name[at + 2 :]


def members(node: Any, *path: str) -> Iterator[tuple[str, ...]]:
    """Yields the path of each member."""
    for name, value in node.items() if isinstance(node, dict) else ():
        yield (*path, name)
        yield from members(value, *path, name)


@pytest.mark.parametrize("path", list(members(OBJECTS)), ids="/".join)
def test_one_typing_error_is_a_fault_that_suggests_the_member(path: tuple[str, ...]) -> None:
    """For names of six letters and more, at every level."""
    *objects, member = path
    for typed in mistyped(member):
        document: Any = {typed: 1}
        for name in reversed(objects):
            document = {name: document}

        fault = find_faults(document, IndividualEnrollment).get(f"/{'/'.join([*objects, typed])}")

        is_long = min(len(typed), len(member)) >= 6
        assert (fault == f"is not a member here; did you mean '{member}'?") is is_long


@pytest.mark.parametrize(
    "name",
    [
        # of the device API 2026-11-01
        "csr",
        "issuedCertificateChain",
        # a Python SDK writes it (azure-cli#31673); two typing errors; other members
        "additionalProperties",
        "iotHubNames",
        "provisionnigStatsu",
        "tag",
        "etags",
        "description",
        "owner",
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_any_other_member_is_passed_on(kind: RecordKind, name: str) -> None:
    """Also members of another API, in the case in which they were sent."""
    document = {kind.id_member: "a", "attestation": {"type": "symmetricKey"}, name: {"Type": 1}}

    assert respelled(document, kind.record) == document
    assert find_faults(document, kind.record) == {}


def all_members(model: type[Document]) -> list[str]:
    return [to_camel(name) for name in model.model_fields]


def test_no_two_members_of_one_object_are_taken_for_each_other() -> None:
    """No known member is at one edit from another one beside it."""
    for kind in KINDS:
        document = {kind.id_member: "a", **dict.fromkeys(all_members(kind.record))}
        assert not [f for f in find_faults(document, kind.record).values() if "did you mean" in f]


def test_suggestions_for_very_many_members_are_bounded() -> None:
    """Only the first hundred unknown members of an object are compared."""
    document = individual(**{f"iotHub{n}": n for n in range(100)}, iotHub=1)

    assert find_faults(document, IndividualEnrollment).keys() == {f"/iotHub{n}" for n in range(10)}


@pytest.mark.parametrize(
    ("hubs", "is_fault"), [(["h"], True), ([], False), (None, False)], ids=["one", "empty", "null"]
)
@pytest.mark.parametrize("policy", [{}, {"allocationPolicy": None}], ids=["absent", "null"])
def test_hubs_need_an_allocation_policy(hubs: Any, policy: Any, is_fault: bool) -> None:
    """As in DPS (azure-sdk-for-python#35368); about an empty list only DPS decides."""
    faults = find_faults(individual(iotHubs=hubs, **policy), IndividualEnrollment)

    fault = {"/allocationPolicy": "is required when iotHubs are specified"}
    assert faults == (fault if is_fault else {})
    assert find_faults(
        individual(iotHubs=hubs, allocationPolicy="static"), EnrollmentGroup
    ).keys() == {"/enrollmentGroupId"}
