"""From the `connection` of a trigger to a client of its namespace.

The order of look-ups is that of ConfigurationExtensions.cs and ServiceBusClientFactory.cs in
Azure/azure-sdk-for-net, sdk/servicebus/Microsoft.Azure.WebJobs.Extensions.ServiceBus; the members
of an identity-based connection are in https://learn.microsoft.com/azure/azure-functions/
functions-reference#common-properties-for-identity-based-connections.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from local.host import environment
from local.host.queues.errors import NotFedError

if TYPE_CHECKING:  # costly: only an app with a Service Bus trigger pays for it
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.servicebus.aio import ServiceBusClient

DEFAULT_NAME = "ServiceBus"
# Under each of these a connection may stand, tried in this order.
PLACES = ("ConnectionStrings__{}", "{}", "ConnectionStrings__AzureWebJobs{}", "AzureWebJobs{}")
# For one attempt of the SDK's; without it opening may hang for ever.
_TRY_TIMEOUT = 15.0


@dataclass(frozen=True)
class Connection:
    """A namespace as the settings describe it: `members` by their names in lower case.

    The connection string is the member without a name.
    """

    name: str
    setting: str
    members: Mapping[str, str]

    @classmethod
    def of(cls, name: str) -> Self:
        """The connection of this name; NotFedError if the settings hold none that can be used."""
        name = name or DEFAULT_NAME
        places = [place.format(name) for place in PLACES]
        setting = next((place for place in places if environment.section(place)), None)
        if setting is None:
            raise NotFedError(_missing(name))
        connection = cls(name=name, setting=setting, members=environment.section(setting))
        connection._check()
        return connection

    @property
    def namespace(self) -> str:
        """The host name of the namespace, if an identity opens it."""
        return self.members.get("fullyqualifiednamespace", "")

    def client(self) -> "tuple[ServiceBusClient, AsyncTokenCredential | None]":
        """A new client, and the credential it uses, if it uses one; close both."""
        from azure.servicebus.aio import ServiceBusClient  # noqa: PLC0415 - costly

        # Every outage ends in Feed, which opens anew: two layers of retries would multiply.
        once: dict[str, Any] = {"try_timeout": _TRY_TIMEOUT, "retry_total": 0}
        if "" in self.members:
            return ServiceBusClient.from_connection_string(self.members[""], **once), None
        credential = self.credential()
        return ServiceBusClient(self.namespace, credential, **once), credential

    def credential(self) -> "AsyncTokenCredential":
        """What the members of an identity-based connection say to sign in with."""
        return self._credential_maker()(self.members)

    def _check(self) -> None:
        if "" in self.members:
            _check_connection_string(self.setting, self.members[""])
        elif not self.namespace:
            raise NotFedError(
                f"{self.setting} has neither a connection string nor a fullyQualifiedNamespace"
            )
        else:
            self._credential_maker()

    def _credential_maker(self) -> "Callable[[Mapping[str, str]], AsyncTokenCredential]":
        if {"tenantid", "clientid", "clientsecret"} <= set(self.members):
            return _client_secret
        kind = self.members.get("credential", "").lower()
        if kind not in _CREDENTIALS:
            raise NotFedError(f"{self.setting}__credential is none of {', '.join(_KINDS)}")
        return _CREDENTIALS[kind]


def _missing(name: str) -> str:
    if "sharedaccesskey" in name.lower():
        # A common mistake; its value must not reach a log.
        return "its connection is a connection string instead of the name of a setting"
    return f"neither {name} nor {name}__fullyQualifiedNamespace is set"


def _check_connection_string(setting: str, text: str) -> None:
    from azure.servicebus import parse_connection_string  # noqa: PLC0415 - costly

    try:
        parse_connection_string(text)
    except ValueError:
        # Not its text: the SDK may quote what it could not read.
        raise NotFedError(f"{setting} is no connection string of Service Bus") from None


def _managed_identity(members: Mapping[str, str]) -> "AsyncTokenCredential":
    from azure.identity.aio import ManagedIdentityCredential  # noqa: PLC0415 - costly

    return ManagedIdentityCredential(client_id=members.get("clientid"))


def _default(members: Mapping[str, str]) -> "AsyncTokenCredential":
    from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415 - costly

    client_id = members.get("clientid")
    return DefaultAzureCredential(
        **({"managed_identity_client_id": client_id} if client_id else {})
    )


def _client_secret(members: Mapping[str, str]) -> "AsyncTokenCredential":
    from azure.identity.aio import ClientSecretCredential  # noqa: PLC0415 - costly

    return ClientSecretCredential(members["tenantid"], members["clientid"], members["clientsecret"])


_CREDENTIALS: "Mapping[str, Callable[[Mapping[str, str]], AsyncTokenCredential]]" = {
    "managedidentity": _managed_identity,
    "": _default,
}
_KINDS = tuple(kind for kind in _CREDENTIALS if kind)
