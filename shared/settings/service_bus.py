"""Settings for Service Bus: the connection and the queues."""

from collections.abc import Iterable, Mapping
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from shared.settings.base import EnvironmentSettings, comma_separated, normalized, read_variable
from shared.settings.connection_strings import (
    check_service_bus_connection_string,
    connection_string_parts,
    validation_error,
)

CREDENTIALS = ("", "managedidentity")
QUEUE_FUNCTIONS = ("enrollment_requests", "bulk_operations")
"""The functions that receive from the input queues."""

_CONNECTION = "ServiceBus"
# In the order of the host's ConfigurationExtensions.cs (Azure/azure-sdk-for-net,
# Microsoft.Azure.WebJobs.Extensions.ServiceBus).
_PREFIXES = (
    f"ConnectionStrings__{_CONNECTION}",
    _CONNECTION,
    f"ConnectionStrings__AzureWebJobs{_CONNECTION}",
    f"AzureWebJobs{_CONNECTION}",
)
_IDENTITY_IDS = {"ServiceBus__clientId", "ServiceBus__managedIdentityResourceId"}
_TWO_IDENTITY_IDS = {
    "ServiceBus__managedIdentityResourceId": "Set this or ServiceBus__clientId, not both: each "
    "names the identity."
}
_NO_NAMESPACE = {
    "ServiceBus, ServiceBus__fullyQualifiedNamespace": "Set one: the connection string of the "
    "Service Bus namespace, or its host name to use Microsoft Entra."
}


# Each must be a different queue: an input queue must not receive what the app itself sends.
_DISTINCT_QUEUES = (
    "ENROLLMENT_REQUESTS_QUEUE",
    "BULK_OPERATIONS_QUEUE",
    "ENROLLMENT_RESULTS_QUEUE",
    "ENROLLMENT_REJECTED_QUEUE",
)


def _is_set(environment: Mapping[str, str], prefix: str) -> bool:
    names = (name for name, value in environment.items() if value)
    return any(name == prefix or name.startswith(f"{prefix}__") for name in names)


def _credential(value: str) -> str:
    if value not in CREDENTIALS:
        raise validation_error("must be managedidentity or unset")
    return value


class ServiceBusSettings(EnvironmentSettings):
    """
    The settings for Service Bus; the connection's have the names that the Functions host uses.

    Docs page "Common properties for identity-based connections"
    (learn.microsoft.com/azure/azure-functions/functions-reference).
    """

    service_bus: (
        Annotated[SecretStr, AfterValidator(check_service_bus_connection_string)] | None
    ) = Field(
        default=None,
        alias="ServiceBus",
        description="Connection string of the Service Bus namespace. Set this or "
        "`ServiceBus__fullyQualifiedNamespace`; without either the app uses no queues.",
    )
    service_bus_namespace: str | None = Field(
        default=None,
        alias="ServiceBus__fullyQualifiedNamespace",
        description="Host name of the Service Bus namespace, used with Microsoft Entra.",
    )
    service_bus_credential: Annotated[
        str, BeforeValidator(normalized), AfterValidator(_credential)
    ] = Field(
        default="",
        alias="ServiceBus__credential",
        description="`managedidentity` for a managed identity; unset: what "
        "`DefaultAzureCredential` finds.",
    )
    service_bus_client_id: str | None = Field(
        default=None,
        alias="ServiceBus__clientId",
        description="Client id of a user-assigned managed identity, or of an application.",
    )
    service_bus_resource_id: str | None = Field(
        default=None,
        alias="ServiceBus__managedIdentityResourceId",
        description="Resource id of a user-assigned managed identity, instead of its client id.",
    )
    service_bus_tenant_id: str | None = Field(
        default=None,
        alias="ServiceBus__tenantId",
        description="Tenant id of an application that signs in with a client secret.",
    )
    service_bus_client_secret: SecretStr | None = Field(
        default=None,
        alias="ServiceBus__clientSecret",
        description="Client secret of an application.",
    )
    enrollment_requests_queue: str = Field(
        default="enrollment-requests",
        description="Queue of requests for one enrollment or enrollment group each.",
    )
    bulk_operations_queue: str = Field(
        default="bulk-operations", description="Queue of bulk requests."
    )
    enrollment_results_queue: str | None = Field(
        default=None,
        description="Queue for the result of each request; unset: only a request with `reply_to` has one.",
    )
    enrollment_rejected_queue: str = Field(
        default="enrollment-rejected",
        description="Queue for requests that can never succeed, each with its reason.",
    )
    enrollment_reply_queues: Annotated[tuple[str, ...], BeforeValidator(comma_separated)] = Field(
        default=(),
        description="Queues that a request may name in `reply_to`, separated by commas.",
    )
    bulk_concurrency: int = Field(
        default=2,
        ge=1,
        le=100,
        description="Number of bulk messages that a process handles concurrently; at most 100.",
    )
    message_budget_seconds: float = Field(
        default=60,
        gt=0,
        le=240,
        description="How long a message is retried before it is postponed; at most 240. The host "
        "renews its lock for 10 minutes.",
    )
    message_max_attempts: int = Field(
        default=32,
        ge=1,
        le=1000,
        description="Maximum number of attempts before a message is rejected; at most 1000. "
        "Throttled attempts do not count. The delays between 32 attempts add up to more than "
        "a day.",
    )

    @classmethod
    def _values(cls, environment: Mapping[str, str]) -> dict[str, str]:
        """Returns the variables that are set, the connection's from where the host reads them."""
        # The host compares the names of settings without regard to case.
        lowered = {name.lower(): value.strip() for name, value in environment.items()}
        prefix = next(
            (prefix for prefix in _PREFIXES if _is_set(lowered, prefix.lower())), _CONNECTION
        )
        moved = {
            name: lowered.get(f"{prefix}{name.removeprefix(_CONNECTION)}".lower(), "")
            for name in cls.fields()
            if name.startswith(_CONNECTION)
        }
        return super()._values({**environment, **moved})

    @classmethod
    def _combination_faults(cls, values: Mapping[str, str]) -> Mapping[str, str]:
        connections = {"ServiceBus", "ServiceBus__fullyQualifiedNamespace"}
        return {
            **cls._queue_faults(values),
            **({} if connections & values.keys() else _NO_NAMESPACE),
            **(_TWO_IDENTITY_IDS if values.keys() >= _IDENTITY_IDS else {}),
        }

    @classmethod
    def _queue_faults(cls, values: Mapping[str, str]) -> dict[str, str]:
        """Returns a fault for each setting with another's queue; names are case-insensitive."""
        settings_by_queue: dict[str, list[str]] = {}
        for name in _DISTINCT_QUEUES:
            queue = values.get(name) or cls.model_fields[cls.fields()[name]].default
            settings_by_queue.setdefault((queue or name).casefold(), []).append(name)
        return {
            name: f"Must not be the same queue as {', '.join(set(names) - {name})}."
            for names in settings_by_queue.values()
            for name in names
            if len(names) > 1 and name in values
        }

    @property
    def input_queues(self) -> tuple[str, str]:
        """The queues of the two triggers."""
        return self.enrollment_requests_queue, self.bulk_operations_queue

    @property
    def received_queues(self) -> tuple[str, ...]:
        """The input queues whose functions are not disabled."""
        functions = zip(QUEUE_FUNCTIONS, self.input_queues, strict=True)
        return tuple(queue for function, queue in functions if not are_disabled([function]))

    @property
    def entity_path(self) -> str | None:
        """The queue that the connection string is limited to; `None` if it is the namespace's."""
        text = self.service_bus.get_secret_value() if self.service_bus else ""
        return connection_string_parts(text).get("entitypath") or None


class InputQueues(NamedTuple):
    """The queues of the two triggers."""

    enrollment_requests: str
    bulk_operations: str


def input_queues() -> InputQueues:
    """
    Returns the queue names for the triggers' decorators; never raises.

    A binding expression `%NAME%` would fail the whole app where NAME is not set.
    """
    fields = ServiceBusSettings.model_fields
    return InputQueues(
        *(
            read_variable(name.upper()) or str(fields[name].default)
            for name in ("enrollment_requests_queue", "bulk_operations_queue")
        )
    )


def are_disabled(functions: Iterable[str]) -> bool:
    """
    Returns whether the settings disable all of these functions.

    Docs page "How to disable functions" (learn.microsoft.com/azure/azure-functions).
    """
    spellings = ("AzureWebJobs.{}.Disabled", "AzureWebJobs_{}_Disabled")
    return all(
        any(
            normalized(read_variable(spelling.format(name))) in {"true", "1"}
            for spelling in spellings
        )
        for name in functions
    )
