"""Options of the stand-in."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from local.dps.api_versions import DEVICE_API_VERSIONS, SERVICE_API_VERSIONS


class Right(StrEnum):
    """Rights of a shared access policy. Documented: Control access to DPS."""

    SERVICE_CONFIG = "ServiceConfig"
    ENROLLMENT_READ = "EnrollmentRead"
    ENROLLMENT_WRITE = "EnrollmentWrite"
    REGISTRATION_STATUS_READ = "RegistrationStatusRead"
    REGISTRATION_STATUS_WRITE = "RegistrationStatusWrite"


@dataclass(frozen=True, kw_only=True)
class AccessPolicy:
    """A shared access policy; each of its two keys grants its rights."""

    name: str
    primary_key: str = field(repr=False)
    secondary_key: str = field(repr=False)
    rights: frozenset[Right] = frozenset(Right)


# Published on purpose: the stand-in holds only test data and listens on loopback by default.
OWNER = AccessPolicy(
    name="provisioningserviceowner",
    primary_key="MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    secondary_key="MTA5ODc2NTQzMjEwOTg3NjU0MzIxMDk4NzY1NDMyMTA=",
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of one stand-in. Port 0 selects a free port; `tls_port` None disables https."""

    host: str = "127.0.0.1"
    port: int = 7090
    tls_port: int | None = 7443

    policies: tuple[AccessPolicy, ...] = (OWNER,)
    host_names: tuple[str, ...] = ()  # accepted in signatures, in addition to the called host
    identity_header: str = "local-identity"  # the IDENTITY_HEADER of App Service

    id_scope: str = "0ne00000000"
    linked_hubs: tuple[str, ...] = tuple(f"hub-{n}.azure-devices.net" for n in (1, 2, 3, 4))
    api_versions: frozenset[str] = SERVICE_API_VERSIONS
    device_api_versions: frozenset[str] = DEVICE_API_VERSIONS

    retry_after_seconds: int = 3  # the Retry-After of a registration in progress
    webhook_seconds: float = 30  # timeout of one call of a custom allocation webhook
    retry_scale: float = 1.0  # factor on the time between webhook retries; 0.01 turns 100 s into 1
    hub_latencies: Mapping[str, float] = field(default_factory=dict)  # by hub name, for geoLatency

    # Whether DPS does these is unknown, so tests can choose.
    mask_webhook_urls: bool = True  # in all responses; reported for GET (azure-powershell#12154)
    keep_keys_on_update: bool = True  # a PUT without symmetric keys keeps the stored ones
    delete_needs_attestation: bool = False  # reject a bulk delete with items that hold only an id

    throttled: bool = False
    operations_per_minute: int = 1000
    single_ms: float = 0  # latency of a single operation
    bulk_ms: float = 0  # latency of a bulk call

    seed: int = 0  # of the random generator for faults with a rate
    clock: Callable[[], int] = time.time_ns  # Unix time in nanoseconds
