"""Loading the policy file: a file with a fault is not used; results are cached."""

import json
from pathlib import Path

import pytest

from shared.allocation.policy_file.load import PolicyCache, load_policies, parse_policies
from shared.errors import PolicyFileError
from tests.shared.allocation.samples import HUB_1, make_request

VALID = {"policies": {"default": {"rules": [], "otherwise": {"hub": HUB_1}}}}
INVALID = """{
"hubs": ["hub-1.azure-devices.net"],
"policies": {"default": {"rules": [
{"name": "a", "hub": "hub-1"},
{"name": "b", "hub": {"hash": {}}, "when": {"payload.x": {"matches": "(a"}}}]}}}"""


def test_file_with_faults_gives_no_policies() -> None:
    """The error names each fault with its line; the policies without faults are not used either."""
    with pytest.raises(PolicyFileError) as caught:
        parse_policies(INVALID.encode())

    prefix = "ALLOCATION_POLICIES_FILE#/policies/default/rules"
    assert set(caught.value.faults) == {f"{prefix}/0/hub", f"{prefix}/1/when/payload.x/matches"}
    message = caught.value.faults[f"{prefix}/0/hub"]
    assert message.startswith("line 4: must be the host name of a hub")
    assert "line 4: is not one of the hubs" in message


def test_configured_file_must_exist(tmp_path: Path) -> None:
    """A configured path without a file is a fault; the built-in policy is not used instead."""
    with pytest.raises(PolicyFileError) as caught:
        load_policies(tmp_path / "none.json")

    assert caught.value.faults == {"ALLOCATION_POLICIES_FILE": "names a file that does not exist"}


def test_directory_is_a_fault(tmp_path: Path) -> None:
    """A path that cannot be read as a file is a fault."""
    with pytest.raises(PolicyFileError):
        load_policies(tmp_path)


def test_file_with_byte_order_mark_is_read(tmp_path: Path) -> None:
    """Windows tools write a byte order mark. Names of policies are compared without case."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps(VALID), "utf-8-sig")

    decision = load_policies(path).get("DEFAULT")(make_request())

    assert decision.rule == "otherwise"


def test_version_depends_on_the_bytes() -> None:
    """Equal files have the same version, different files have different ones."""
    file, other = json.dumps(VALID).encode(), json.dumps(VALID, indent=1).encode()

    assert parse_policies(file).version == parse_policies(file).version
    assert parse_policies(file).version != parse_policies(other).version


def test_failed_load_is_retried_after_the_retry_interval(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The file is unchanged, but the Python module that it names has been fixed."""
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "policies.json"
    path.write_text(json.dumps({"policies": {"default": {"python": "fixed_policy:decide"}}}))
    patient, eager = PolicyCache(retry_seconds=60), PolicyCache(retry_seconds=0)
    for cache in (patient, eager):
        with pytest.raises(PolicyFileError):
            cache.get(path)

    (tmp_path / "fixed_policy.py").write_text("def decide(request): ...")

    with pytest.raises(PolicyFileError):
        patient.get(path)
    assert list(eager.get(path).by_name) == ["default"]
