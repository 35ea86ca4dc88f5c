"""Settings of SAS mode: policies as the management API has them, and every fault of them."""

import json
from typing import Any

import pytest

from shared.errors import NotConfiguredError
from shared.settings import Right, SharedAccessSettings
from tests.secret_factory import access_policy, symmetric_key

POLICY = access_policy("ServiceConfig", "DeviceConnect", "EnrollmentWrite")


def read(value: Any) -> SharedAccessSettings:
    text = value if isinstance(value, str) else json.dumps(value)
    return SharedAccessSettings.read({"SHARED_ACCESS_POLICIES": text})


def test_names_of_the_settings_are_fixed() -> None:
    """Literal, because deployments set them."""
    assert list(SharedAccessSettings.fields()) == [
        "SHARED_ACCESS_POLICIES",
        "SHARED_ACCESS_HOSTS",
    ]


def test_policies_are_read_as_azure_lists_them() -> None:
    """`az iot dps policy list` returns these members, the rights in one text."""
    settings = read([POLICY])

    (policy,) = settings.shared_access_policies
    assert policy.key_name == "owner"
    assert policy.rights == {Right.SERVICE_CONFIG, Right.DEVICE_CONNECT, Right.ENROLLMENT_WRITE}
    assert policy.keys == (POLICY["primaryKey"], POLICY["secondaryKey"])


def test_keys_are_not_shown() -> None:
    """Neither a policy nor the settings reveal them."""
    assert POLICY["primaryKey"] not in f"{read([POLICY])!r}"


@pytest.mark.parametrize("hosts", ["[x", "*", "a b", ":443", "gw.contoso.com/path"])
def test_invalid_hosts_are_a_fault(hosts: str) -> None:
    """A host that no signature can name."""
    with pytest.raises(NotConfiguredError) as caught:
        SharedAccessSettings.read({"SHARED_ACCESS_HOSTS": f"gw.contoso.com, {hosts}"})

    assert "must be a host name" in caught.value.faults["SHARED_ACCESS_HOSTS"]


def test_hosts_may_be_urls() -> None:
    """As people copy them."""
    settings = SharedAccessSettings.read(
        {"SHARED_ACCESS_HOSTS": "https://gw.contoso.com/, [::1]:1"}
    )

    assert settings.shared_access_hosts == ("gw.contoso.com", "[::1]:1")


def test_sas_mode_is_off_by_default() -> None:
    """Without the setting there are no policies."""
    assert SharedAccessSettings.read({}).shared_access_policies == ()


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("@Microsoft.KeyVault(SecretUri=https://v/s)", "Key Vault reference that Azure did not"),
        ("not json", "the value: Invalid JSON"),
        ([], "at least one policy"),
        ([POLICY, POLICY], "a keyName of its own"),
        ([{**POLICY, "primaryKey": "no base64!"}], "0.primaryKey: must have a key in base64"),
        ([{**POLICY, "primaryKey": symmetric_key(15)}], "0.primaryKey: must have at least 16"),
        ([{**POLICY, "primaryKey": ""}], "0.primaryKey: must have at least 16 bytes"),
        ([{**POLICY, "rights": "EnrollmentRead,Everything"}], "0.rights.1: Input should be"),
        ([{"keyName": "owner"}], "0.primaryKey: Field required; 0.secondaryKey: Field required"),
    ],
)
def test_invalid_policies_are_a_fault(value: Any, fault: str) -> None:
    """The fault names every member that is not valid, and no key."""
    with pytest.raises(NotConfiguredError) as raised:
        read(value)

    text = raised.value.faults["SHARED_ACCESS_POLICIES"]
    assert fault in text
    assert "Everything" not in text
    assert "no base64!" not in text
