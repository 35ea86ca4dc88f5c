"""Loads the policy file; with a single fault, none of it is used."""

import asyncio
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import NamedTuple
from weakref import WeakKeyDictionary

from shared.allocation.decision import AllocationPolicy
from shared.allocation.policy_file.compile import compile_policies
from shared.allocation.policy_file.lint import find_warnings
from shared.allocation.policy_file.models import PolicyFile
from shared.allocation.policy_file.validate import LIMITS, Diagnostic, add_lines, validate
from shared.errors import MAX_FAULTS, PolicyFileError, UnknownPolicyError
from shared.json_documents import parse_json

SETTING = "ALLOCATION_POLICIES_FILE"

_LOG = logging.getLogger(__name__)
# Used if no file is configured and there is none at the default path.
_BUILT_IN = b'{"policies": {"default": {"python": "shared.allocation.policies:hashed"}}}'


@dataclass(frozen=True, kw_only=True, slots=True)
class Policies:
    """
    The compiled policies of a file.

    `version` is the start of the file's SHA-256: equal files have the same version. `warnings` are at
    most `MAX_FAULTS`.
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
    document = parse_json(body, limits=LIMITS)
    file = PolicyFile.model_validate(document)
    return Policies(
        version=sha256(body).hexdigest()[:12],
        by_name=compile_policies(file),
        warnings=add_lines(islice(find_warnings(file, document), MAX_FAULTS), body),
    )


def _by_pointer(faults: tuple[Diagnostic, ...]) -> dict[str, str]:
    messages: dict[str, list[str]] = {}
    for fault in faults:
        messages.setdefault(f"{SETTING}#{fault.pointer}", []).append(str(fault))
    return {location: "; ".join(texts) for location, texts in messages.items()}


_Key = tuple[Path, bool]


class _Failure(NamedTuple):
    """A failed load: its faults, the file's state then, and when to load again at the latest."""

    faults: Mapping[str, str]
    file_state: tuple[int, int] | None
    expires: float


class PolicyCache:
    """
    Policies by file: loaded on first use, then kept for the life of the process.

    A file with faults is loaded again once it has changed. If the fault may be elsewhere, in a Python
    module or in the access to the file, it is also loaded again when `retry_seconds` have passed.
    """

    def __init__(self, *, retry_seconds: float = 5.0) -> None:
        self._retry_seconds = retry_seconds
        self._loaded: dict[_Key, Policies] = {}
        self._failures: dict[_Key, _Failure] = {}
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            WeakKeyDictionary()
        )

    async def get(self, path: Path, *, must_exist: bool = True) -> Policies:
        """
        Returns the policies of a file, as `load_policies`; logs warnings after a load.

        It loads in a thread, as files can be large, and once for all that wait for it.
        """
        key = (path, must_exist)
        if key not in self._loaded:
            async with self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
                if key not in self._loaded:
                    self._loaded[key] = await self._load(key)
        return self._loaded[key]

    async def _load(self, key: _Key) -> Policies:
        path, must_exist = key
        state = _file_state(path)
        failure = self._failures.get(key)
        if failure and failure.file_state == state and time.monotonic() < failure.expires:
            raise PolicyFileError(failure.faults)
        try:
            policies = await asyncio.to_thread(load_policies, path, must_exist=must_exist)
        except PolicyFileError as error:
            seconds = math.inf if _is_in_file(error) else self._retry_seconds
            self._failures[key] = _Failure(error.faults, state, time.monotonic() + seconds)
            raise
        for warning in policies.warnings:
            _LOG.warning("allocation policies, %s: %s", warning.pointer, warning)
        return policies


def _is_in_file(error: PolicyFileError) -> bool:
    """Returns whether a fault is certainly in the file, so that only a change can correct it."""
    return any("#" in name and not name.endswith("/python") for name in error.faults)


def _file_state(path: Path) -> tuple[int, int] | None:
    """Returns modification time and size, or None if the file cannot be accessed."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
