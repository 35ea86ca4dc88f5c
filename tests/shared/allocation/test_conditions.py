"""Conditions: what each operator makes of each kind of value."""

import pytest

from shared.allocation import AllocationPolicy, AllocationRequest, decide
from tests.shared.allocation.asking import GROUP, HUB_1, HUB_2, HUBS, matches, policy

NEVER_SENT = "<never sent>"

HOLDS = [
    ("equals", "de", "de"),
    ("equals", 1, 1.0),
    ("equals", True, True),
    ("in", ["de", "at"], "at"),
    ("in", [1, True], True),
    ("notIn", ["de"], "fr"),
    ("notIn", ["de"], ["de"]),
    ("notIn", [1], True),
    ("matches", "thermo-.*", "thermo-12"),
    ("matches", "[a-f0-9]{4}", "00ff"),
    ("startsWith", "the", "thermo"),
    ("startsWith", ["x", "th"], "thermo"),
    ("endsWith", "mo", "thermo"),
    ("endsWith", ["x", "o"], "thermo"),
    ("contains", "erm", "thermo"),
    ("contains", 2, [1, 2]),
    ("exists", True, 0),
    ("exists", True, ""),
    ("exists", False, None),
    ("exists", False, NEVER_SENT),
    ("lt", 5, 4.9),
    ("lte", 5, 5),
    ("gt", 5, 6),
    ("gte", 5, 5),
    ("gte", "12.1", "12.10.0"),
    ("gt", "9.9", "10"),
    ("gte", "1.0", "1"),
    ("lt", "2027-01-01", "2026-12-31T23:59:59Z"),
    ("gt", "2026-12-31T23:00:00Z", "2027-01-01T00:30:00.1234567+01:00"),
    ("linked", True, HUB_1),
    ("linked", True, HUB_1.upper()),
    ("linked", False, "gone.azure-devices.net"),
]
HOLDS_NOT = [
    ("equals", "de", "DE"),
    ("equals", 1, True),
    ("equals", 0, False),
    ("equals", 1, "1"),
    ("in", ["de"], ["de"]),
    ("in", ["de"], {"de": 1}),
    ("notIn", ["de"], "de"),
    ("notIn", ["de"], None),
    ("notIn", ["de"], NEVER_SENT),
    ("matches", "thermo", "thermo-12"),
    ("matches", ".*", 5),
    ("matches", ".*", "x" * 1025),
    ("startsWith", "th", ["th"]),
    ("endsWith", "o", 0),
    ("contains", "1", 1),
    ("contains", 1, [True, "1"]),
    ("contains", 1, "1"),
    ("exists", True, None),
    ("exists", False, 0),
    ("lt", 5, 5),
    ("lt", 5, "4"),
    ("lt", 5, True),
    ("gt", 5, NEVER_SENT),
    ("gte", "12.1", "12.0.9"),
    ("gte", "1.2", "1.2-rc1"),
    ("gt", "2026-01-01", "2026-02-31"),
    ("gt", "2026-01-01", 9),
    ("linked", True, "gone.azure-devices.net"),
    ("linked", False, HUB_1),
    ("linked", False, NEVER_SENT),
    ("linked", True, 5),
]


def question(value: object) -> dict[str, object]:
    """The device sends the value as its payload's member `x`."""
    return {"payload": {} if value is NEVER_SENT else {"x": value}}


def shown(value: object) -> str:
    """A value as part of the name of a test."""
    return repr(value)[:40]


@pytest.mark.parametrize(("operator", "operand", "value"), HOLDS, ids=shown)
def test_condition_holds(operator, operand, value):
    """The value passes."""
    assert matches({"payload.x": {operator: operand}}, **question(value))


@pytest.mark.parametrize(("operator", "operand", "value"), HOLDS_NOT, ids=shown)
def test_condition_does_not_hold(operator, operand, value):
    """The value does not pass: of another kind, absent, or just not so."""
    assert not matches({"payload.x": {operator: operand}}, **question(value))


def test_several_operators_must_all_hold():
    """What is said of one fact is all meant."""
    between = {"payload.x": {"gte": 1, "lt": 3}}

    assert [matches(between, payload={"x": x}) for x in (0, 1, 2, 3)] == [False, True, True, False]


def test_several_facts_must_all_hold():
    """What is said of several facts is all meant."""
    both = {"payload.x": {"equals": 1}, "payload.y": {"equals": 2}}

    assert matches(both, payload={"x": 1, "y": 2})
    assert not matches(both, payload={"x": 1})


def test_no_condition_always_holds():
    """A rule without conditions is for everyone."""
    assert matches({})


@pytest.mark.parametrize(
    "when",
    [
        {"registrationId": {"equals": "DEV-1"}},
        {"registrationId": {"in": ["a", "Dev-1"]}},
        {"registrationId": {"startsWith": ["x", "DEV"]}},
        {"registrationId": {"matches": "DEV-\\d"}},
        {"registrationId": {"matches": "[D]ev-[^\\D]"}},
        {"enrollmentGroupId": {"equals": "HEATING"}},
        {"currentHub": {"equals": HUB_1.upper()}},
    ],
)
def test_names_of_dps_are_compared_without_case(when):
    """To DPS `DEV-1` and `dev-1` are one device, so they are to a rule."""
    assert matches(when, registrationId="dEv-1", currentIotHubHostName="HUB-1.azure-devices.NET")


def test_every_fact_of_a_request():
    """Each fact has its name."""
    facts = {
        "attestation": {"equals": "symmetricKey"},
        "iotEdge": {"equals": False},
        "currentHub": {"linked": True},
        "currentDeviceId": {"equals": "other"},
        "percentile": {"gte": 0, "lt": 100},
        "payload": {"exists": True},
        "payload.a.b.1": {"equals": "x"},
        "tags.region": {"equals": "de"},
        "desired.limits.max": {"gt": 20},
        "enrollmentGroupId": {"exists": True},
        "deviceId": {"exists": False},
    }
    twin = {"tags": {"region": "de"}, "properties": {"desired": {"limits": {"max": 21}}}}

    assert matches(
        facts,
        group=GROUP | {"initialTwin": twin},
        payload={"a": {"b": [0, "x"]}},
        currentIotHubHostName=HUBS[2],
        currentDeviceId="other",
    )


def test_facts_of_an_individual_enrollment():
    """An individual enrollment has no group id, and may set the device id."""
    assert matches(
        {"enrollmentGroupId": {"exists": False}, "deviceId": {"equals": "my-device"}},
        individual={"registrationId": "dev-1", "deviceId": "my-device"},
    )


@pytest.mark.parametrize("payload", [None, 5, "text", [], {"a": 1}, {"a": [1]}, {"a": {"b": None}}])
def test_path_that_leads_nowhere_is_absent(payload):
    """Whatever a device sends, a path through it finds something or nothing."""
    assert matches({"payload.a.b.7": {"exists": False}}, payload=payload)


def test_percentile_spreads_devices_evenly():
    """`percentile` below 20 is a fifth of the devices, and always the same ones."""
    fifth = policy({"when": {"percentile": {"lt": 20}}, "hub": HUB_1}, otherwise={"hub": HUB_2})
    devices = [f"device-{number}" for number in range(10_000)]

    chosen = [device for device in devices if hub_of(fifth, device) == HUB_1]

    assert len(chosen) / len(devices) == pytest.approx(0.2, abs=0.015)
    assert all(hub_of(fifth, device.upper()) == HUB_1 for device in chosen)


def hub_of(policy: AllocationPolicy, device: str) -> str:
    """Where a policy puts a device."""
    request = AllocationRequest(registration_id=device, linked_hubs=HUBS)
    return decide(policy, request).hub
