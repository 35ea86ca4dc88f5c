"""API versions: the members that not all of them have, and the one at which records are changed."""

import re
from collections.abc import Mapping
from typing import Any

from shared.errors import DpsBadRequestError, DpsError
from shared.settings import KNOWN_API_VERSIONS

# The members of enrollments and groups that name the policy for certificates that DPS issues, by the
# version that introduced them in place of those before (Azure/azure-rest-api-specs, service.json of
# each version). No version has them all.
_POLICY_MEMBERS: Mapping[str, frozenset[str]] = {
    "": frozenset(),
    "2025-07-01-preview": frozenset({"credentialPolicyName"}),
    "2026-11-01": frozenset({"namespaceName", "certificateAuthorityName", "certificatePolicyName"}),
}
_ALL_POLICY_MEMBERS = frozenset[str]().union(*_POLICY_MEMBERS.values())
# Reported: azure-iot-sdk-csharp#3479 and iotedge#6631. The message repeats the URL, which has an
# `api-version` in any case.
_UNKNOWN_VERSION = re.compile(r"(unknown|unsupported|invalid) api.?version", re.IGNORECASE)


def _policy_members(version: str) -> frozenset[str]:
    """Returns the members of a version; one that is not listed has those of the one before."""
    return _POLICY_MEMBERS[max(since for since in _POLICY_MEMBERS if since <= version)]


def foreign_members(version: str) -> frozenset[str]:
    """Returns the members that only other versions have."""
    return _ALL_POLICY_MEMBERS - _policy_members(version)


def own_members(record: Mapping[str, Any], version: str) -> dict[str, Any]:
    """Returns the record without the members that only other versions have."""
    foreign = foreign_members(version)
    return {name: value for name, value in record.items() if name not in foreign}


def is_unknown_version(error: DpsError) -> bool:
    """Returns whether DPS refused a call because it does not know its API version."""
    is_of_gateway = isinstance(error, DpsBadRequestError) and error.error_code is None
    return is_of_gateway and bool(_UNKNOWN_VERSION.search(str(error)))


def find_lost(sent: Mapping[str, Any], *, requested: str, used: str) -> list[str]:
    """
    Returns the members that a write of `sent` at the version `used` does not store.

    They are those that are sent, and those that the record may have at the version `requested`.
    """
    given = {name for name in _ALL_POLICY_MEMBERS if sent.get(name) is not None}
    return sorted((given | _policy_members(requested)) - _policy_members(used))


class ApiVersions:
    """
    The API versions of one DPS instance; belongs to a client.

    DPS shows each version its own members, and a write at a version removes the others. So records
    that are read to be written back are read and written at the newest version, which the first read
    finds: DPS refuses a version that it does not know.
    """

    def __init__(self, default: str) -> None:
        """Creates the versions; `default` is that of calls without one."""
        self.default = default
        # A default with members of its own is the operator's choice among versions that lack others.
        self._accepted = [default]
        if not _policy_members(default):
            newer = (version for version in KNOWN_API_VERSIONS if version > default)
            self._accepted += sorted(newer)

    def for_change(self, requested: str) -> str:
        """Returns the version for changing a record: at least the one that was requested."""
        return max(self._accepted[-1], requested)

    def on_unknown(self, version: str) -> None:
        """Removes a version that DPS does not know."""
        older = [accepted for accepted in self._accepted if accepted < version]
        self._accepted = older or [self.default]
