"""The settings for DPS and for HTTP."""

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

from pydantic import BeforeValidator, Field

from shared.settings.addresses import ConnectionString, url
from shared.settings.environment import OfEnvironment, names, variable, word

# The client SDKs of Microsoft's send these: C, then C# and Java, then Python and Node.
KNOWN_API_VERSIONS = ("2018-04-01", "2019-03-31", "2021-10-01")
DEFAULT_API_VERSION = "2021-10-01"

AuthLevel = Literal["anonymous", "function", "admin"]

_WAYS_TO_DPS = {"DPS_CONNECTION_STRING", "DPS_ENDPOINT"}
_NOT_ONE_WAY_TO_DPS = {
    "DPS_CONNECTION_STRING, DPS_ENDPOINT": "Exactly one is needed: the connection string of a "
    "shared access policy, or the host of the DPS instance to reach it with Microsoft Entra."
}


class Settings(OfEnvironment):
    """What the app needs for DPS, and for HTTP."""

    dps_connection_string: Annotated[
        ConnectionString | None, BeforeValidator(ConnectionString.parse)
    ] = Field(
        default=None,
        description="Connection string of a DPS access policy. This or `DPS_ENDPOINT`.",
    )
    dps_endpoint: Annotated[str | None, BeforeValidator(url)] = Field(
        default=None,
        description="Host of the DPS instance, reached with Microsoft Entra: the app's managed "
        "identity, or whatever `DefaultAzureCredential` finds. This or `DPS_CONNECTION_STRING`.",
    )
    dps_api_versions: Annotated[tuple[str, ...], BeforeValidator(names)] = Field(
        default=(),
        description="API versions passed on to DPS beside "
        f"{', '.join(KNOWN_API_VERSIONS)}, parted by commas.",
    )
    dps_timeout_seconds: float = Field(
        default=30,
        gt=0,
        le=200,
        description="How long one call to DPS may take, all its attempts together; 200 at most.",
    )
    dps_attempt_timeout_seconds: float = Field(
        default=10,
        gt=0,
        le=200,
        description="How long one attempt may go without a byte from DPS; 200 at most.",
    )
    dps_max_attempts: int = Field(
        default=5,
        ge=1,
        le=20,
        description="How many attempts one call to DPS may make; 20 at most.",
    )
    dps_operations_per_minute: float = Field(
        default=1000,
        gt=0,
        le=1_000_000,
        description="The operations a minute that DPS allows the instance.",
    )
    dps_pacing_start: float | None = Field(
        default=None,
        gt=0,
        le=1_000_000,
        description="The operations a minute that a process starts with; unset: a tenth of "
        "`DPS_OPERATIONS_PER_MINUTE`. It finds its share of the quota by itself.",
    )
    bulk_timeout_seconds: float = Field(
        default=180,
        gt=0,
        le=195,
        description="How long a bulk operation over HTTP may take, 195 at most; records it did not "
        "come to are named in its answer. Azure's load balancer gives up after 230.",
    )
    allocation_policies_file: str = Field(
        default="allocation.json",
        description="File of the allocation policies, beginning at the app's folder. Where it is "
        "named it must be there; where neither is, devices are spread evenly over all linked hubs.",
    )
    public_routes_auth_level: Annotated[AuthLevel, BeforeValidator(word)] = Field(
        default="anonymous",
        description="`anonymous`, `function` or `admin`: the key that `GET health/live` asks for.",
    )

    @classmethod
    def _faults_together(cls, values: Mapping[str, str]) -> Mapping[str, str]:
        return {} if len(_WAYS_TO_DPS & values.keys()) == 1 else _NOT_ONE_WAY_TO_DPS

    @property
    def dps_url(self) -> str:
        """The base URL of the DPS instance, without a slash at its end."""
        return (
            self.dps_connection_string.url
            if self.dps_connection_string
            else self.dps_endpoint or ""
        )

    @property
    def api_versions(self) -> tuple[str, ...]:
        """Every API version a caller may name."""
        return KNOWN_API_VERSIONS + self.dps_api_versions

    @property
    def pacing_start(self) -> float:
        """The operations a minute that a process starts with."""
        return self.dps_pacing_start or self.dps_operations_per_minute / 10


def public_routes_auth_level() -> AuthLevel:
    """
    What the decorators of public routes need before anything is validated: it never raises.

    A value nobody understands closes the routes; `health/ready` names it.
    """
    value = word(variable("PUBLIC_ROUTES_AUTH_LEVEL"))
    levels: dict[str, AuthLevel] = {"": "anonymous", "anonymous": "anonymous", "admin": "admin"}
    return levels.get(value, "function")


class PoliciesFile(NamedTuple):
    """The file of allocation policies, and whether the environment names it."""

    name: str
    is_named: bool


def allocation_policies_file() -> PoliciesFile:
    """What the allocation webhook needs, though nothing else may be set: it never raises."""
    named = variable("ALLOCATION_POLICIES_FILE")
    default: str = Settings.model_fields["allocation_policies_file"].default
    return PoliciesFile(named or default, is_named=bool(named))
