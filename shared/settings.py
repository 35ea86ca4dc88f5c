"""The app's settings: the only reader of the environment."""

import os
import re
from base64 import b64decode
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Any, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from shared.errors import NotConfiguredError

# The client SDKs of Microsoft's send these: C, then C# and Java, then Python and Node.
KNOWN_API_VERSIONS = ("2018-04-01", "2019-03-31", "2021-10-01")
DEFAULT_API_VERSION = "2021-10-01"

AuthLevel = Literal["anonymous", "function", "admin"]


def _fault(message: str) -> PydanticCustomError:
    return PydanticCustomError("setting", "{message}", {"message": message})


def _url(value: str) -> str:
    """A host, or a URL of one, as a base URL: https, or on this machine http as well."""
    try:
        parts = urlsplit(value if "//" in value else f"//{value}")
        _ = parts.port  # raises for a port that is none
    except ValueError as error:
        raise _fault("is not a host or its URL") from error
    host = parts.hostname or ""
    if not _is_host(host) or parts.path.strip("/") or set("?#@") & set(value):
        raise _fault("names no host such as my-dps.azure-devices-provisioning.net")
    local = _is_loopback(host)
    scheme = parts.scheme or ("http" if local else "https")
    if scheme != "https" and not (local and scheme == "http"):
        raise _fault("must be reached by https")
    return f"{scheme}://{parts.netloc.lower()}"


# Labels of RFC 1123, and names that DPS cannot have but a machine's own resolver may know.
_HOST = re.compile(r"(?!.{254})[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.IGNORECASE)


def _is_host(host: str) -> bool:
    return bool(_HOST.fullmatch(host)) or ":" in host


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _check_base64(key: str) -> None:
    try:
        b64decode(key, validate=True)
    except ValueError as error:
        raise _fault("has a SharedAccessKey that is not base64") from error


class ConnectionString(BaseModel):
    """A connection string of DPS's: `HostName=…;SharedAccessKeyName=…;SharedAccessKey=…`."""

    model_config = ConfigDict(frozen=True)

    url: str
    policy: str
    key: SecretStr

    @classmethod
    def parse(cls, value: object) -> Self:
        """Reads the three parts, named without regard to case as Microsoft's SDKs do."""
        parts = dict(part.partition("=")[::2] for part in str(value).split(";") if part)
        named = {name.strip().lower(): text.strip() for name, text in parts.items()}
        missing = [
            name
            for name in ("HostName", "SharedAccessKeyName", "SharedAccessKey")
            if not named.get(name.lower())
        ]
        if missing:
            raise _fault(f"lacks {', '.join(missing)}")
        _check_base64(named["sharedaccesskey"])
        return cls(
            url=_url(named["hostname"]),
            policy=named["sharedaccesskeyname"],
            key=SecretStr(named["sharedaccesskey"]),
        )


def _word(value: object) -> str:
    return str(value).strip().lower()


def _names(value: object) -> tuple[str, ...]:
    return tuple(name.strip() for name in str(value).split(",") if name.strip())


class Settings(BaseModel):
    """Every setting of the app; the name in the environment is the field's in upper case."""

    model_config = ConfigDict(frozen=True, alias_generator=str.upper, hide_input_in_errors=True)

    dps_connection_string: Annotated[
        ConnectionString | None, BeforeValidator(ConnectionString.parse)
    ] = Field(
        default=None,
        description="Connection string of a DPS access policy. This or `DPS_ENDPOINT`.",
    )
    dps_endpoint: Annotated[str | None, BeforeValidator(_url)] = Field(
        default=None,
        description="Host of the DPS instance, reached with Microsoft Entra: the app's managed "
        "identity, or whatever `DefaultAzureCredential` finds. This or `DPS_CONNECTION_STRING`.",
    )
    dps_api_versions: Annotated[tuple[str, ...], BeforeValidator(_names)] = Field(
        default=(),
        description="API versions passed on to DPS beside "
        f"{', '.join(KNOWN_API_VERSIONS)}, parted by commas.",
    )
    dps_timeout_seconds: float = Field(
        default=30,
        gt=0,
        le=200,
        description="How long one call to DPS may take, all its attempts together.",
    )
    dps_attempt_timeout_seconds: float = Field(
        default=10,
        gt=0,
        le=200,
        description="How long one attempt may go without a byte from DPS.",
    )
    dps_max_attempts: int = Field(
        default=5, ge=1, le=20, description="How many attempts one call to DPS may make."
    )
    bulk_timeout_seconds: float = Field(
        default=180,
        gt=0,
        le=195,
        description="How long a bulk operation over HTTP may take; records it did not come to are "
        "named in its answer. Azure's load balancer gives up after 230.",
    )
    allocation_policies_file: str = Field(
        default="allocation.json",
        description="File of the allocation policies, beginning at the app's folder. Where it is "
        "named it must be there; where neither is, devices are spread evenly over all linked hubs.",
    )
    public_routes_auth_level: Annotated[AuthLevel, BeforeValidator(_word)] = Field(
        default="anonymous",
        description="`anonymous`, `function` or `admin`: the key that `GET health/live` asks for.",
    )

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None) -> Self:
        """The settings in the environment; raises `NotConfiguredError` naming every fault."""
        values = _values(cls, os.environ if environment is None else environment)  # noqa: TID251
        faults = {} if len(_WAYS_TO_DPS & values.keys()) == 1 else _NOT_ONE_WAY_TO_DPS
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            raise NotConfiguredError(faults | dict(map(_explained, found))) from None
        if faults:
            raise NotConfiguredError(faults)
        return settings

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


def _values(settings: type[Settings], environment: Mapping[str, str]) -> dict[str, Any]:
    """The settings that are set: Azure shows a cleared setting as an empty text."""
    names = (name.upper() for name in settings.model_fields)
    return {name: environment[name] for name in names if environment.get(name, "").strip()}


_WAYS_TO_DPS = {"DPS_CONNECTION_STRING", "DPS_ENDPOINT"}
_NOT_ONE_WAY_TO_DPS = {
    "DPS_CONNECTION_STRING, DPS_ENDPOINT": "Exactly one is needed: the connection string of a "
    "shared access policy, or the host of the DPS instance to reach it with Microsoft Entra."
}


def _explained(found: ErrorDetails) -> tuple[str, str]:
    name = str(found["loc"][0])
    return name, f"{found['msg']}. {Settings.model_fields[name.lower()].description}"


def public_routes_auth_level() -> AuthLevel:
    """
    What the decorators of public routes need before anything is validated: it never raises.

    A value nobody understands closes the routes; `health/ready` names it.
    """
    value = _word(os.environ.get("PUBLIC_ROUTES_AUTH_LEVEL", ""))  # noqa: TID251
    levels: dict[str, AuthLevel] = {"": "anonymous", "anonymous": "anonymous", "admin": "admin"}
    return levels.get(value, "function")


class PoliciesFile(NamedTuple):
    """The file of allocation policies, and whether the environment names it."""

    name: str
    is_named: bool


def allocation_policies_file() -> PoliciesFile:
    """What the allocation webhook needs, though nothing else may be set: it never raises."""
    named = os.environ.get("ALLOCATION_POLICIES_FILE", "").strip()  # noqa: TID251
    default: str = Settings.model_fields["allocation_policies_file"].default
    return PoliciesFile(named or default, is_named=bool(named))
