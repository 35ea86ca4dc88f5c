"""What a stand-in can be told when it is made."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Right(StrEnum):
    """The rights of an access policy (docs: How to control access to DPS)."""

    SERVICE_CONFIG = "ServiceConfig"
    ENROLLMENT_READ = "EnrollmentRead"
    ENROLLMENT_WRITE = "EnrollmentWrite"
    REGISTRATION_STATUS_READ = "RegistrationStatusRead"
    REGISTRATION_STATUS_WRITE = "RegistrationStatusWrite"


@dataclass(frozen=True, kw_only=True)
class AccessPolicy:
    """A shared access policy: two keys, either of which grants its rights."""

    name: str
    primary_key: str = field(repr=False)
    secondary_key: str = field(repr=False)
    rights: frozenset[Right] = frozenset(Right)


# Published on purpose: a stand-in that listens on loopback guards nothing.
OWNER = AccessPolicy(
    name="provisioningserviceowner",
    primary_key="MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    secondary_key="MTA5ODc2NTQzMjEwOTg3NjU0MzIxMDk4NzY1NDMyMTA=",
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """A port of 0 takes a free one; `tls_port` None means no https."""

    host: str = "127.0.0.1"
    port: int = 7090
    tls_port: int | None = 7443

    policies: tuple[AccessPolicy, ...] = (OWNER,)
    host_names: tuple[str, ...] = ()  # signed for by clients, beside the host they call
    identity_header: str = "local-identity"  # what App Service puts into IDENTITY_HEADER

    id_scope: str = "0ne00000000"
    linked_hubs: tuple[str, ...] = tuple(f"hub-{n}.azure-devices.net" for n in (1, 2, 3, 4))
    api_versions: frozenset[str] = frozenset({"2018-04-01", "2019-03-31", "2021-10-01"})
    device_api_versions: frozenset[str] = frozenset({"2019-03-31", "2021-06-01", "2021-10-01"})

    retry_after_seconds: int = 3  # what devices are told to wait before they poll
    webhook_seconds: float = 30  # how long one call of a custom allocation's webhook may take
    retry_scale: float = 1.0  # of the time between such calls: 0.01 makes a second of 100
    hub_latencies: Mapping[str, float] = field(default_factory=dict)  # by hub, for geoLatency

    # Where nobody knows what the service does, both can be had.
    mask_webhook_urls: bool = False  # answer `?****` for the query of a webhookUrl
    keep_keys_on_update: bool = True  # a PUT without keys keeps those of the record
    delete_needs_attestation: bool = False  # a bulk delete of ids alone is refused as a whole

    throttled: bool = False
    operations_per_minute: int = 1000
    single_ms: float = 0  # time that one operation takes
    bulk_ms: float = 0  # time that one bulk call takes

    seed: int = 0  # of the faults that happen at a rate
    clock: Callable[[], int] = time.time_ns  # nanoseconds since 1970
