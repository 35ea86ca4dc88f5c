"""Settings of SAS mode: the app's own shared access policies, with whose keys DPS clients sign."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
)
from pydantic.alias_generators import to_camel

from shared.settings.base import EnvironmentSettings, comma_separated, read_variable
from shared.settings.connection_strings import decode_key, parse_host_url, validation_error

# The docs page names no shortest key; 128 bits cannot be guessed.
_MIN_KEY_BYTES = 16


class Right(StrEnum):
    """
    Rights of a shared access policy.

    Names: docs page "Control access to DPS with shared access signatures"
    (learn.microsoft.com/azure/iot-dps/how-to-control-access).
    """

    SERVICE_CONFIG = "ServiceConfig"
    ENROLLMENT_READ = "EnrollmentRead"
    ENROLLMENT_WRITE = "EnrollmentWrite"
    REGISTRATION_STATUS_READ = "RegistrationStatusRead"
    REGISTRATION_STATUS_WRITE = "RegistrationStatusWrite"
    DEVICE_CONNECT = "DeviceConnect"
    """Of policies in Azure; the app has nothing that needs it."""


def _check_key(key: SecretStr) -> SecretStr:
    if len(decode_key(key.get_secret_value())) < _MIN_KEY_BYTES:
        raise validation_error(f"must have at least {_MIN_KEY_BYTES} bytes")
    return key


Key = Annotated[SecretStr, AfterValidator(_check_key)]


class SharedAccessPolicy(BaseModel):
    """A policy, as `az iot dps policy list` returns it: each of its keys grants its rights."""

    model_config = ConfigDict(frozen=True, defer_build=True, alias_generator=to_camel)

    key_name: Annotated[str, Field(min_length=1, max_length=64)]
    primary_key: Key
    secondary_key: Key
    rights: Annotated[frozenset[Right], BeforeValidator(comma_separated)]

    @property
    def keys(self) -> tuple[str, str]:
        """Both keys, in base64."""
        return self.primary_key.get_secret_value(), self.secondary_key.get_secret_value()


def _parse_policies(value: str) -> Sequence[SharedAccessPolicy]:
    """Parses the setting; raises one validation error with every fault, without any value."""
    if value.lower().startswith("@microsoft.keyvault("):
        raise validation_error(
            "is a Key Vault reference that Azure did not resolve: the app's identity needs the "
            "role Key Vault Secrets User, and the secret must exist"
        )
    try:
        policies = TypeAdapter(tuple[SharedAccessPolicy, ...]).validate_json(value)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False, include_context=False)
        faults = (f"{'.'.join(map(str, e['loc'])) or 'the value'}: {e['msg']}" for e in errors)
        raise validation_error(f"must be a JSON array of policies ({'; '.join(faults)})") from None
    names = [policy.key_name for policy in policies]
    if not names or len(set(names)) < len(names):
        raise validation_error("must have at least one policy, each with a keyName of its own")
    return policies


def _parse_hosts(value: object) -> tuple[str, ...]:
    """Returns the host names, each with its port if it has one, in lower case."""
    return tuple(parse_host_url(name).partition("//")[2] for name in comma_separated(value))


class SharedAccessSettings(EnvironmentSettings):
    """The settings of SAS mode."""

    shared_access_policies: Annotated[
        tuple[SharedAccessPolicy, ...], BeforeValidator(_parse_policies)
    ] = Field(
        default=(),
        description="The app's own shared access policies, as JSON or a Key Vault reference; "
        "see *SAS mode* in `docs/clients.md`. If set, DPS's own routes require a signature with "
        "a key of one of them instead of a function key.",
    )
    shared_access_hosts: Annotated[tuple[str, ...], BeforeValidator(_parse_hosts)] = Field(
        default=(),
        description="Host names for which signatures are accepted, in addition to the app's own "
        "in `WEBSITE_HOSTNAME`: those of a custom domain, Front Door or API Management, separated "
        "by commas.",
    )


def dps_routes_auth_level() -> Literal["anonymous", "function"]:
    """
    Returns the authorization level of DPS's own routes for their decorators; never raises.

    Any value of `SHARED_ACCESS_POLICIES`, even an invalid one, makes them anonymous to the host,
    and the app then requires a signature.
    """
    return "anonymous" if read_variable("SHARED_ACCESS_POLICIES") else "function"


def host_name() -> str:
    """Returns the app's host name, as App Service and Core Tools set it; empty if it is unknown."""
    return read_variable("WEBSITE_HOSTNAME")
