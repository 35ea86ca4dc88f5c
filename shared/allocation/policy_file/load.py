"""Loads the policy file; with a single fault, none of it is used."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from shared.allocation.decision import AllocationPolicy
from shared.allocation.policy_file.compile import compile_policies
from shared.allocation.policy_file.lint import find_warnings
from shared.allocation.policy_file.models import PolicyFile
from shared.allocation.policy_file.validate import MAX_BYTES, Diagnostic, add_lines, validate
from shared.errors import PolicyFileError, UnknownPolicyError
from shared.json_documents import parse_json

SETTING = "ALLOCATION_POLICIES_FILE"

_LOG = logging.getLogger(__name__)
# Used if no file is configured and there is none at the default path.
_BUILT_IN = b'{"policies": {"default": {"python": "shared.allocation.policies:hashed"}}}'


@dataclass(frozen=True, kw_only=True, slots=True)
class Policies:
    """
    The compiled policies of a file.

    `version` is the start of the file's SHA-256: equal files have the same version.
    """

    version: str
    by_name: Mapping[str, AllocationPolicy]
    warnings: tuple[Diagnostic, ...]

    def get(self, name: str) -> AllocationPolicy:
        """Returns the policy of this name, ignoring case; raises `UnknownPolicyError`."""
        policy = self.by_name.get(name.lower())
        if policy is None:
            raise UnknownPolicyError
        return policy

    def warnings_for(self, name: str) -> list[Diagnostic]:
        """Returns the warnings about one policy."""
        prefix = f"/policies/{name.lower()}/"
        return [warning for warning in self.warnings if f"{warning.pointer}/".startswith(prefix)]


def load_policies(path: Path, *, must_exist: bool = True) -> Policies:
    """
    Reads a policy file; raises `PolicyFileError` with all faults.

    If the file does not exist, and not `must_exist`, the policy `default` distributes devices
    evenly over all linked hubs.
    """
    try:
        return parse_policies(path.read_bytes())
    except FileNotFoundError as error:
        if must_exist:
            raise PolicyFileError({SETTING: "names a file that does not exist"}) from error
    except OSError as error:
        fault = f"names a file that cannot be read: {type(error).__name__}"
        raise PolicyFileError({SETTING: fault}) from error
    return parse_policies(_BUILT_IN)


def parse_policies(body: bytes) -> Policies:
    """Parses and compiles a policy file; raises `PolicyFileError` with all faults."""
    faults = validate(body)
    if faults:
        raise PolicyFileError(_by_pointer(faults))
    document = parse_json(body, max_bytes=MAX_BYTES)
    file = PolicyFile.model_validate(document)
    return Policies(
        version=sha256(body).hexdigest()[:12],
        by_name=compile_policies(file),
        warnings=add_lines(find_warnings(file, document), body),
    )


def _by_pointer(faults: tuple[Diagnostic, ...]) -> dict[str, str]:
    messages: dict[str, list[str]] = {}
    for fault in faults:
        messages.setdefault(f"{SETTING}#{fault.pointer}", []).append(str(fault))
    return {location: "; ".join(texts) for location, texts in messages.items()}


class _Failure(NamedTuple):
    """A failed load: its faults, the file's state then, and when to load again at the latest."""

    faults: Mapping[str, str]
    file_state: tuple[int, int] | None
    expires: float


class PolicyCache:
    """
    Policies by file: loaded on first use, then kept for the life of the process.

    A file with faults is loaded again once it has changed or `retry_seconds` have passed: the fault
    may be in a Python module. Until then the faults are kept, as files can be large and DPS retries.
    """

    def __init__(self, *, retry_seconds: float = 5.0) -> None:
        self._retry_seconds = retry_seconds
        self._loaded: dict[tuple[Path, bool], Policies] = {}
        self._failures: dict[tuple[Path, bool], _Failure] = {}

    def get(self, path: Path, *, must_exist: bool = True) -> Policies:
        """Returns the policies of a file, as `load_policies`; logs warnings after a load."""
        key = (path, must_exist)
        if key in self._loaded:
            return self._loaded[key]
        state = _file_state(path)
        failure = self._failures.get(key)
        if failure and failure.file_state == state and time.monotonic() < failure.expires:
            raise PolicyFileError(failure.faults)
        try:
            policies = load_policies(path, must_exist=must_exist)
        except PolicyFileError as error:
            expires = time.monotonic() + self._retry_seconds
            self._failures[key] = _Failure(error.faults, state, expires)
            raise
        for warning in policies.warnings:
            _LOG.warning("allocation policies, %s: %s", warning.pointer, warning)
        self._loaded[key] = policies
        return policies


def _file_state(path: Path) -> tuple[int, int] | None:
    """Returns modification time and size, or None if the file cannot be accessed."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
