"""Facts: where each one comes from, and how it is compared."""

from typing import Any

import pytest

from shared.allocation import AllocationPolicy, AllocationRequest, Assignment, decide
from tests.shared.allocation.samples import GROUP, HUB_1, HUB_2, HUBS, make_policy, matches


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
def test_ids_and_hubs_are_compared_without_case(when: dict[str, Any]) -> None:
    """To DPS `DEV-1` and `dev-1` are one device, and so they are to a rule."""
    assert matches(when, registrationId="dEv-1", currentIotHubHostName="HUB-1.azure-devices.NET")


def test_every_fact_of_a_request() -> None:
    """Each fact is read from its member of the request."""
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


def test_facts_of_an_individual_enrollment() -> None:
    """An individual enrollment has no group id, and may set the device id."""
    assert matches(
        {"enrollmentGroupId": {"exists": False}, "deviceId": {"equals": "my-device"}},
        individual={"registrationId": "dev-1", "deviceId": "my-device"},
    )


@pytest.mark.parametrize("payload", [None, 5, "text", [], {"a": 1}, {"a": [1]}, {"a": {"b": None}}])
def test_path_without_a_value_is_absent(
    payload: list[Any] | int | dict[str, Any] | str | None,
) -> None:
    """A path into any payload finds a value or nothing; it never fails."""
    assert matches({"payload.a.b.7": {"exists": False}}, payload=payload)


def test_percentile_is_evenly_distributed() -> None:
    """`percentile` below 20 holds for a fifth of the devices, and always for the same ones."""
    fifth = make_policy(
        {"when": {"percentile": {"lt": 20}}, "hub": HUB_1}, otherwise={"hub": HUB_2}
    )
    devices = [f"device-{number}" for number in range(10_000)]

    chosen = [device for device in devices if hub_of(fifth, device) == HUB_1]

    assert len(chosen) / len(devices) == pytest.approx(0.2, abs=0.015)
    assert all(hub_of(fifth, device.upper()) == HUB_1 for device in chosen)


def hub_of(policy: AllocationPolicy, device: str) -> str:
    """Returns the hub that a policy assigns to a device."""
    request = AllocationRequest(registration_id=device, linked_hubs=HUBS)
    decision = decide(policy, request)
    assert isinstance(decision, Assignment)
    return decision.hub
