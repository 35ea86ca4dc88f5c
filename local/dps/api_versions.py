"""The API versions, and the members that not every version has."""

from collections.abc import Mapping
from typing import Final

SERVICE_API_VERSIONS: Final = frozenset(
    {"2018-04-01", "2019-03-31", "2021-10-01", "2026-04-01", "2026-11-01"}
)
# Reported for the oldest three: azure-iot-sdk-c#273, vscode-iot-workbench#590, iotedge#4575.
DEVICE_API_VERSIONS: Final = frozenset(
    {
        "2017-11-15",
        "2018-09-01-preview",
        "2018-11-01",
        "2019-03-31",
        "2021-06-01",
        "2021-10-01",
        "2026-04-01",
        "2026-11-01",
    }
)

# Documented (REST API specification): members of enrollments and groups for the certificates that
# DPS issues, by the version that introduced them in place of those before.
_POLICY_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "": (),
    "2025-07-01-preview": ("credentialPolicyName",),
    "2026-11-01": ("namespaceName", "certificateAuthorityName", "certificatePolicyName"),
}
ALL_POLICY_MEMBERS: Final = tuple(name for names in _POLICY_MEMBERS.values() for name in names)


def policy_members(version: str) -> tuple[str, ...]:
    """Returns the members of a version. Assumed: a version that is not listed has those before."""
    return _POLICY_MEMBERS[max(since for since in _POLICY_MEMBERS if since <= version)]


def foreign_members(version: str) -> frozenset[str]:
    """Returns the members that only other versions have."""
    return frozenset(ALL_POLICY_MEMBERS).difference(policy_members(version))


def issues_certificates(version: str) -> bool:
    """Returns whether a registration may have a `csr` (documented)."""
    return bool(policy_members(version))
