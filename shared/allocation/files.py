"""The policy file: read once, and used whole or not at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from shared.allocation.checking import faults_in
from shared.allocation.compiling import policies_of
from shared.allocation.decisions import AllocationPolicy
from shared.allocation.findings import Finding, placed
from shared.allocation.language import PolicyFile
from shared.allocation.linting import oddities_in
from shared.documents import parse
from shared.errors import InvalidRequestError, PolicyFileError, UnknownPolicyError

SETTING = "ALLOCATION_POLICIES_FILE"
MAX_BYTES = 10 * 1024 * 1024
"""What a file may have; a list of a hundred thousand serial numbers fits in."""

# What counts where no file is named and none is there.
_BUILT_IN = b'{"policies": {"default": {"python": "shared.allocation.policies:hashed"}}}'


@dataclass(frozen=True, kw_only=True, slots=True)
class Policies:
    """
    The policies of a file, ready to decide.

    `version` is the beginning of the SHA-256 of the file: equal versions decide alike. `warnings`
    are what the linter finds odd.
    """

    version: str
    by_name: Mapping[str, AllocationPolicy]
    warnings: tuple[Finding, ...]

    def named(self, name: str) -> AllocationPolicy:
        """The policy of that name, without regard to case; raises `UnknownPolicyError`."""
        found = self.by_name.get(name.lower())
        if found is None:
            raise UnknownPolicyError
        return found

    def warnings_of(self, name: str) -> list[Finding]:
        """What is odd in one policy."""
        place = f"/policies/{name.lower()}"
        return [found for found in self.warnings if f"{found.place}/".startswith(f"{place}/")]


def read(path: Path, *, must_exist: bool = True) -> Policies:
    """
    The policies in a file; raises `PolicyFileError` with every fault.

    Where there is no file, and none `must_exist`, the policy `default` spreads devices evenly over
    all linked hubs.
    """
    try:
        return parsed(path.read_bytes())
    except FileNotFoundError as error:
        if must_exist:
            raise PolicyFileError({SETTING: "names a file that is not there"}) from error
    except OSError as error:
        fault = f"names a file that cannot be read: {type(error).__name__}"
        raise PolicyFileError({SETTING: fault}) from error
    return parsed(_BUILT_IN)


def parsed(body: bytes) -> Policies:
    """The policies in the bytes of a file; raises `PolicyFileError` with every fault."""
    faults = check(body)
    if faults:
        raise PolicyFileError(_by_place(faults))
    document = parse(body, max_bytes=MAX_BYTES)
    file = PolicyFile.model_validate(document)
    return Policies(
        version=sha256(body).hexdigest()[:12],
        by_name=policies_of(file),
        warnings=placed(oddities_in(file, document), body.decode("utf-8-sig")),
    )


def _by_place(faults: tuple[Finding, ...]) -> dict[str, str]:
    words: dict[str, list[str]] = {}
    for fault in faults:
        words.setdefault(f"{SETTING}#{fault.place}", []).append(str(fault))
    return {place: "; ".join(found) for place, found in words.items()}


def check(body: bytes) -> tuple[Finding, ...]:
    """Every fault in the bytes of a file."""
    try:
        document = parse(body, max_bytes=MAX_BYTES)
    except InvalidRequestError as error:
        if "" in error.faults:  # no JSON: its words say where
            return tuple(Finding(place, 0, words) for place, words in error.faults.items())
        return placed(error.faults.items(), body.decode("utf-8-sig"))
    return placed(faults_in(document), body.decode("utf-8-sig"))
