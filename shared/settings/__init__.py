"""The app's settings, read from the environment and nowhere else."""

from shared.settings.addresses import ConnectionString
from shared.settings.app import (
    DEFAULT_API_VERSION,
    KNOWN_API_VERSIONS,
    AuthLevel,
    PoliciesFile,
    Settings,
    allocation_policies_file,
    public_routes_auth_level,
)
from shared.settings.messaging import InputQueues, MessagingSettings, are_off, input_queues

__all__ = [
    "DEFAULT_API_VERSION",
    "KNOWN_API_VERSIONS",
    "AuthLevel",
    "ConnectionString",
    "InputQueues",
    "MessagingSettings",
    "PoliciesFile",
    "Settings",
    "allocation_policies_file",
    "are_off",
    "input_queues",
    "public_routes_auth_level",
]
