"""Settings for DPS and HTTP."""

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from shared.settings.base import EnvironmentSettings, comma_separated, normalized, read_variable
from shared.settings.connection_strings import (
    ConnectionString,
    check_webhook_urls,
    parse_host_url,
    validation_error,
)

# The first are sent by Microsoft's SDKs: C; C# and Java; Python and Node.
KNOWN_API_VERSIONS = ("2018-04-01", "2019-03-31", "2021-10-01", "2026-04-01", "2026-11-01")

AuthLevel = Literal["anonymous", "function", "admin"]
LogLevel = Literal["debug", "info", "warning", "error"]

_DPS_SETTINGS = {"DPS_CONNECTION_STRING", "DPS_ENDPOINT"}
_NOT_EXACTLY_ONE_DPS = {
    "DPS_CONNECTION_STRING, DPS_ENDPOINT": "Set exactly one: the connection string of a shared "
    "access policy, or the host name of the DPS instance to use Microsoft Entra."
}


class WebhookSettings(EnvironmentSettings):
    """The settings that checking a document needs, whichever DPS instance it is for."""

    allocation_webhook_urls: Annotated[
        tuple[SecretStr, ...], BeforeValidator(comma_separated), AfterValidator(check_webhook_urls)
    ] = Field(
        default=(),
        description="Complete URLs of the allocation webhook, with their keys, separated by commas: "
        "`https://…/allocation/default?code=…`. A `webhookUrl` that is sent with a masked query, as "
        "DPS shows it, is completed from the one that is equal up to the query.",
    )


class Settings(WebhookSettings):
    """The settings for DPS and HTTP."""

    dps_connection_string: Annotated[
        ConnectionString | None, BeforeValidator(ConnectionString.parse)
    ] = Field(
        default=None,
        description="Connection string of a DPS shared access policy. Set this or `DPS_ENDPOINT`.",
    )
    dps_endpoint: Annotated[str | None, BeforeValidator(parse_host_url)] = Field(
        default=None,
        description="Host name of the DPS instance, used with Microsoft Entra: the app's managed "
        "identity, or what `DefaultAzureCredential` finds. Set this or `DPS_CONNECTION_STRING`.",
    )
    dps_api_versions: Annotated[tuple[str, ...], BeforeValidator(comma_separated)] = Field(
        default=(),
        description="API versions to accept in addition to "
        f"{', '.join(KNOWN_API_VERSIONS)}, separated by commas.",
    )
    dps_default_api_version: str = Field(
        default="2021-10-01",
        description="API version of messages, and of requests without `api-version`. From 2026-04-01 "
        "on it is also the one at which the app changes records.",
    )
    dps_timeout_seconds: float = Field(
        default=30,
        gt=0,
        le=200,
        description="Timeout of one call to DPS over HTTP, all attempts included; at most 200. For "
        "queue messages it is `MESSAGE_BUDGET_SECONDS`.",
    )
    dps_attempt_timeout_seconds: float = Field(
        default=10,
        gt=0,
        le=200,
        description="How long one attempt waits for the next byte from DPS; at most 200.",
    )
    dps_max_attempts: int = Field(
        default=5,
        ge=1,
        le=20,
        description="Maximum number of attempts of one call to DPS over HTTP; at most 20.",
    )
    dps_operations_per_minute: float = Field(
        default=1000,
        gt=0,
        le=1_000_000,
        description="Quota of the DPS instance, in operations per minute.",
    )
    dps_pacing_start: float | None = Field(
        default=None,
        gt=0,
        le=1_000_000,
        description="Initial rate limit of a process, in operations per minute; unset: a tenth of "
        "`DPS_OPERATIONS_PER_MINUTE`. The process then adapts to its share of the quota.",
    )
    bulk_timeout_seconds: float = Field(
        default=180,
        gt=0,
        le=195,
        description="Timeout of a bulk operation over HTTP that takes more than one call to DPS; at "
        "most 195. The response names the records that were not attempted. Azure's load balancer "
        "times out after 230.",
    )
    allocation_policies_file: str = Field(
        default="allocation.json",
        description="Allocation policy file, relative to the app's folder. If set, the file must "
        "exist. If unset and the file does not exist, devices are spread evenly over all linked "
        "hubs.",
    )
    public_routes_auth_level: Annotated[AuthLevel, BeforeValidator(normalized)] = Field(
        default="anonymous",
        description="Authorization level of `GET health/live`: `anonymous`, `function` or `admin`.",
    )
    docs_auth_level: Annotated[AuthLevel, BeforeValidator(normalized)] = Field(
        default="anonymous",
        description="Authorization level of `GET openapi.json`, `GET docs` and `GET /`: "
        "`anonymous`, `function` or `admin`.",
    )
    azure_sdk_log_level: Annotated[LogLevel, BeforeValidator(normalized)] = Field(
        default="warning",
        description="Lowest level of the log lines of Azure's SDKs: `debug`, `info`, `warning` or "
        "`error`. At `info` they log every request and connection; host.json does not filter them.",
    )

    @field_validator("dps_default_api_version")
    @classmethod
    def _is_accepted(cls, value: str, info: ValidationInfo) -> str:
        accepted = (*KNOWN_API_VERSIONS, *info.data.get("dps_api_versions", ()))
        if value not in accepted:
            raise validation_error(f"must be one of {', '.join(accepted)}")
        return value

    @classmethod
    def _combination_faults(cls, values: Mapping[str, str]) -> Mapping[str, str]:
        return {} if len(_DPS_SETTINGS & values.keys()) == 1 else _NOT_EXACTLY_ONE_DPS

    @property
    def dps_url(self) -> str:
        """The base URL of the DPS instance, without a trailing slash."""
        return (
            self.dps_connection_string.url
            if self.dps_connection_string
            else self.dps_endpoint or ""
        )

    @property
    def api_versions(self) -> tuple[str, ...]:
        """The API versions that a caller may use."""
        return KNOWN_API_VERSIONS + self.dps_api_versions

    @property
    def initial_operations_per_minute(self) -> float:
        """The initial rate limit of a process."""
        return self.dps_pacing_start or self.dps_operations_per_minute / 10


def public_routes_auth_level() -> AuthLevel:
    """Returns the authorization level of `health/live`; see `docs_auth_level`."""
    return _auth_level("PUBLIC_ROUTES_AUTH_LEVEL")


def docs_auth_level() -> AuthLevel:
    """
    Returns the authorization level of the documentation for its decorator; never raises.

    An invalid value requires a function key; `health/ready` reports it.
    """
    return _auth_level("DOCS_AUTH_LEVEL")


def _auth_level(name: str) -> AuthLevel:
    value = normalized(read_variable(name))
    levels: dict[str, AuthLevel] = {"": "anonymous", "anonymous": "anonymous", "admin": "admin"}
    return levels.get(value, "function")


def allocation_webhook_urls() -> tuple[SecretStr, ...]:
    """Returns the complete URLs of the allocation webhook; raises `NotConfiguredError`."""
    return WebhookSettings.read().allocation_webhook_urls


def azure_sdk_log_level() -> str:
    """Returns the level's name in `logging`; never raises: `health/ready` reports an invalid value."""
    value = normalized(read_variable("AZURE_SDK_LOG_LEVEL"))
    return value.upper() if value in get_args(LogLevel) else "WARNING"


class PolicyFileSetting(NamedTuple):
    """The path of the allocation policy file, and whether the environment sets it."""

    path: str
    is_set: bool


def allocation_policies_file() -> PolicyFileSetting:
    """Returns the policy file setting for the allocation webhook, which needs no other setting."""
    value = read_variable("ALLOCATION_POLICIES_FILE")
    default: str = Settings.model_fields["allocation_policies_file"].default
    return PolicyFileSetting(value or default, is_set=bool(value))
