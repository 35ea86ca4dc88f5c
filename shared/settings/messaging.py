"""The settings for the queues."""

from collections.abc import Iterable, Mapping
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from shared.settings.addresses import fault
from shared.settings.environment import OfEnvironment, names, variable, word

CREDENTIALS = ("", "managedidentity")

_CONNECTION = "ServiceBus"
# In the order of the host's ConfigurationExtensions.cs (Azure/azure-sdk-for-net,
# Microsoft.Azure.WebJobs.Extensions.ServiceBus).
_PLACES = (
    f"ConnectionStrings__{_CONNECTION}",
    _CONNECTION,
    f"ConnectionStrings__AzureWebJobs{_CONNECTION}",
    f"AzureWebJobs{_CONNECTION}",
)
_NO_NAMESPACE = {
    "ServiceBus, ServiceBus__fullyQualifiedNamespace": "One is needed for the queues: a connection "
    "string of the Service Bus namespace, or its host to reach it with Microsoft Entra."
}


# One that is another as well would be fed with what the app itself sends.
_APART = (
    "ENROLLMENT_REQUESTS_QUEUE",
    "BULK_OPERATIONS_QUEUE",
    "ENROLLMENT_RESULTS_QUEUE",
    "ENROLLMENT_REJECTED_QUEUE",
)


def _is_in(environment: Mapping[str, str], place: str) -> bool:
    found = (name for name, value in environment.items() if value)
    return any(name == place or name.startswith(f"{place}__") for name in found)


def _connection_string(value: SecretStr) -> SecretStr:
    # The names of its parts have no case, neither to the host nor to the SDK.
    parts = {
        name.strip().lower(): text.strip().lower()
        for name, _, text in (part.partition("=") for part in value.get_secret_value().split(";"))
    }
    if not parts.get("endpoint", "").startswith("sb://"):
        raise fault("has no Endpoint=sb://…")
    if "sharedaccesssignature" not in parts and not {
        "sharedaccesskeyname",
        "sharedaccesskey",
    } <= set(parts):
        raise fault("lacks SharedAccessKeyName and SharedAccessKey")
    return value


def _credential(value: str) -> str:
    if value not in CREDENTIALS:
        raise fault("must be managedidentity, or not be set")
    return value


class MessagingSettings(OfEnvironment):
    """
    What the app needs for Service Bus; those of the connection are named as the host names them.

    Docs page "Common properties for identity-based connections"
    (learn.microsoft.com/azure/azure-functions/functions-reference).
    """

    service_bus: Annotated[SecretStr, AfterValidator(_connection_string)] | None = Field(
        default=None,
        alias="ServiceBus",
        description="Connection string of the Service Bus namespace. This or "
        "`ServiceBus__fullyQualifiedNamespace`; with neither there are no queues.",
    )
    service_bus_namespace: str | None = Field(
        default=None,
        alias="ServiceBus__fullyQualifiedNamespace",
        description="Host of the Service Bus namespace, reached with Microsoft Entra.",
    )
    service_bus_credential: Annotated[str, BeforeValidator(word), AfterValidator(_credential)] = (
        Field(
            default="",
            alias="ServiceBus__credential",
            description="`managedidentity` for a managed identity; unset: what "
            "`DefaultAzureCredential` finds.",
        )
    )
    service_bus_client_id: str | None = Field(
        default=None,
        alias="ServiceBus__clientId",
        description="Client id of a user-assigned identity, or of an application.",
    )
    service_bus_tenant_id: str | None = Field(
        default=None,
        alias="ServiceBus__tenantId",
        description="Tenant of an application that signs in with a secret.",
    )
    service_bus_client_secret: SecretStr | None = Field(
        default=None,
        alias="ServiceBus__clientSecret",
        description="Secret of an application.",
    )
    enrollment_requests_queue: str = Field(
        default="enrollment-requests",
        description="Queue of requests for one enrollment or group each.",
    )
    bulk_operations_queue: str = Field(
        default="bulk-operations", description="Queue of requests for many each."
    )
    enrollment_results_queue: str | None = Field(
        default=None,
        description="Queue for what became of each request; unset: nobody is told.",
    )
    enrollment_rejected_queue: str = Field(
        default="enrollment-rejected",
        description="Queue that keeps requests that can never succeed, each with its reason.",
    )
    enrollment_reply_queues: Annotated[tuple[str, ...], BeforeValidator(names)] = Field(
        default=(),
        description="Queues that a request may name in its `reply_to`, parted by commas.",
    )
    bulk_concurrency: int = Field(
        default=2,
        ge=1,
        le=100,
        description="How many bulk messages a process handles at once; 100 at most.",
    )
    message_budget_seconds: float = Field(
        default=60,
        gt=0,
        le=240,
        description="How long a message is tried before it is put off; 240 at most. The host renews its "
        "lock for 10 minutes.",
    )
    message_max_attempts: int = Field(
        default=32,
        ge=1,
        le=1000,
        description="How often a message is tried before it is rejected, 1000 at most; congestion does "
        "not count. The pauses between 32 attempts are more than a day.",
    )

    @classmethod
    def _values(cls, environment: Mapping[str, str]) -> dict[str, str]:
        """The settings that are set, those of the connection where the host finds them too."""
        # To the host the names of settings have no case.
        lowered = {name.lower(): value.strip() for name, value in environment.items()}
        place = next((place for place in _PLACES if _is_in(lowered, place.lower())), _CONNECTION)
        moved = {
            name: lowered.get(f"{place}{name.removeprefix(_CONNECTION)}".lower(), "")
            for name in cls.fields()
            if name.startswith(_CONNECTION)
        }
        return super()._values({**environment, **moved})

    @classmethod
    def _faults_together(cls, values: Mapping[str, str]) -> Mapping[str, str]:
        ways = {"ServiceBus", "ServiceBus__fullyQualifiedNamespace"}
        return cls._faults_of_queues(values) | ({} if ways & values.keys() else _NO_NAMESPACE)

    @classmethod
    def _faults_of_queues(cls, values: Mapping[str, str]) -> dict[str, str]:
        """The settings that name one queue for two purposes; names of queues have no case."""
        found: dict[str, list[str]] = {}
        for name in _APART:
            queue = values.get(name) or cls.model_fields[cls.fields()[name]].default
            found.setdefault((queue or name).casefold(), []).append(name)
        return {
            name: f"Must be another queue than that of {', '.join(set(names) - {name})}."
            for names in found.values()
            for name in names
            if len(names) > 1 and name in values
        }

    @property
    def input_queues(self) -> tuple[str, str]:
        """The queues that the app takes requests from."""
        return self.enrollment_requests_queue, self.bulk_operations_queue


class InputQueues(NamedTuple):
    """The queues of the two triggers."""

    enrollment_requests: str
    bulk_operations: str


def input_queues() -> InputQueues:
    """
    What the decorators of the triggers need before anything is validated: it never raises.

    In a decorator `%NAME%` would do the same, but takes the whole app down where NAME is not set.
    """
    fields = MessagingSettings.model_fields
    return InputQueues(
        *(
            variable(name.upper()) or str(fields[name].default)
            for name in ("enrollment_requests_queue", "bulk_operations_queue")
        )
    )


def are_off(functions: Iterable[str]) -> bool:
    """
    Whether the settings switch all of these functions off.

    Docs page "How to disable functions" (learn.microsoft.com/azure/azure-functions).
    """
    spellings = ("AzureWebJobs.{}.Disabled", "AzureWebJobs_{}_Disabled")
    return all(
        any(word(variable(spelling.format(name))) in {"true", "1"} for spelling in spellings)
        for name in functions
    )
