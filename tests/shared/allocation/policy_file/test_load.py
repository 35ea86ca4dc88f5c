"""Loading the policy file: a file with a fault is not used; results are cached."""

import asyncio
import json
import threading
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


async def test_failed_load_is_retried_after_the_retry_interval(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The file is unchanged, but the Python module that it names has been fixed."""
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "policies.json"
    path.write_text(json.dumps({"policies": {"default": {"python": "fixed_policy:decide"}}}))
    patient, eager = PolicyCache(retry_seconds=60), PolicyCache(retry_seconds=0)
    for cache in (patient, eager):
        with pytest.raises(PolicyFileError):
            await cache.get(path)

    (tmp_path / "fixed_policy.py").write_text("def decide(request): ...")

    with pytest.raises(PolicyFileError):
        await patient.get(path)
    assert list((await eager.get(path)).by_name) == ["default"]


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[threading.Thread]:
    """The threads that have imported the module `broken_policy`, which always fails."""
    threads: list[threading.Thread] = []
    monkeypatch.setattr(threading, "importing", threads.append, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    source = "import sys, threading\nthreading.importing(threading.current_thread())\nsys.exit(1)\n"
    (tmp_path / "broken_policy.py").write_text(source)
    return threads


async def test_file_is_loaded_in_a_thread_and_once_for_all_that_wait(
    imports: list[threading.Thread], tmp_path: Path
) -> None:
    """Meanwhile the event loop serves other requests."""
    path = tmp_path / "policies.json"
    path.write_text(json.dumps({"policies": {"default": {"python": "broken_policy:decide"}}}))
    cache = PolicyCache()

    errors = await asyncio.gather(*(cache.get(path) for _ in range(5)), return_exceptions=True)

    assert [type(error) for error in errors] == [PolicyFileError] * 5
    assert len(imports) == 1
    assert imports[0] is not threading.current_thread()


async def test_file_with_a_fault_of_its_own_is_loaded_again_only_if_it_changed(
    imports: list[threading.Thread], tmp_path: Path
) -> None:
    """Until then nothing can have corrected it; a fault of a module may have been corrected."""
    path = tmp_path / "policies.json"
    policies = {"default": {"python": "broken_policy:decide"}, "other": {"rules": 1}}
    cache = PolicyCache(retry_seconds=0)
    for indent in (1, 2):
        path.write_text(json.dumps({"policies": policies}, indent=indent))
        for _ in range(3):
            with pytest.raises(PolicyFileError):
                await cache.get(path)
        assert len(imports) == indent
