"""
Connections: the settings that a trigger's `connection` names, and receivers for its namespace.

Settings are looked up in the order of ConfigurationExtensions.cs and ServiceBusClientFactory.cs in
Azure/azure-sdk-for-net, sdk/servicebus/Microsoft.Azure.WebJobs.Extensions.ServiceBus; the members
of an identity-based connection are in https://learn.microsoft.com/azure/azure-functions/
functions-reference#common-properties-for-identity-based-connections.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from local.host import environment
from local.host.errors import TriggerSkippedError

if TYPE_CHECKING:  # imported only for an app that has a Service Bus trigger: it is slow to load
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver

_DEFAULT_NAME = "ServiceBus"
_SETTINGS = ("ConnectionStrings__{}", "{}", "ConnectionStrings__AzureWebJobs{}", "AzureWebJobs{}")
# Of one attempt of the SDK; without it, opening a link may hang forever.
_TRY_TIMEOUT = 15.0
_OPEN_TIMEOUT = 30.0
_CLOSE_TIMEOUT = 3.0
# How long the SDK blocks on its socket before it checks for other work.
_SOCKET_TIMEOUT = 0.05

logger = logging.getLogger("local.host.service_bus")


def connection_settings(name: str = "") -> list[str]:
    """Returns the settings that can hold the connection `name`, in the order of precedence."""
    return [setting.format(name or _DEFAULT_NAME) for setting in _SETTINGS]


@dataclass(frozen=True)
class Connection:
    """
    A namespace as the settings describe it; the keys of `members` are in lower case.

    A connection string has the key "".
    """

    name: str
    setting: str
    members: Mapping[str, str]

    @classmethod
    def from_settings(cls, name: str) -> Self:
        """Reads the connection `name`; raises TriggerSkippedError if it is missing or invalid."""
        name = name or _DEFAULT_NAME
        setting = next((s for s in connection_settings(name) if environment.section(s)), None)
        if setting is None:
            raise TriggerSkippedError(_describe_missing(name))
        connection = cls(name=name, setting=setting, members=environment.section(setting))
        connection._check()
        return connection

    @property
    def namespace(self) -> str:
        """The host name of the namespace of an identity-based connection."""
        return self.members.get("fullyqualifiednamespace", "")

    def create_client(self) -> "tuple[ServiceBusClient, AsyncTokenCredential | None]":
        """Returns a new client and its credential, if it has one; the caller closes both."""
        from azure.servicebus.aio import ServiceBusClient

        # The listener retries; retries of the SDK would multiply with those.
        no_retries: dict[str, Any] = {"try_timeout": _TRY_TIMEOUT, "retry_total": 0}
        if "" in self.members:
            return ServiceBusClient.from_connection_string(self.members[""], **no_retries), None
        credential = self.create_credential()
        return ServiceBusClient(self.namespace, credential, **no_retries), credential

    def create_credential(self) -> "AsyncTokenCredential":
        """Creates the credential of an identity-based connection."""
        return self._credential_factory()(self.members)

    def _check(self) -> None:
        if "" in self.members:
            _check_connection_string(self.setting, self.members[""])
        elif not self.namespace:
            raise TriggerSkippedError(
                f"{self.setting} needs a connection string or a fullyQualifiedNamespace"
            )
        else:
            self._credential_factory()

    def _credential_factory(self) -> "Callable[[Mapping[str, str]], AsyncTokenCredential]":
        if {"tenantid", "clientid", "clientsecret"} <= set(self.members):
            return _client_secret
        if {"clientid", "managedidentityresourceid"} <= set(self.members):
            raise TriggerSkippedError(
                f"{self.setting} must not have both clientId and managedIdentityResourceId"
            )
        kind = self.members.get("credential", "").lower()
        if kind not in _CREDENTIALS:
            kinds = ", ".join(repr(name) for name in _CREDENTIALS if name)
            raise TriggerSkippedError(f"{self.setting}__credential must be one of {kinds}")
        return _CREDENTIALS[kind]


def _describe_missing(name: str) -> str:
    if "sharedaccesskey" in name.lower():
        # A common mistake. The connection string must not reach a log.
        return "the trigger's connection must be the name of a setting, not a connection string"
    return f"neither {name} nor {name}__fullyQualifiedNamespace is set"


def _check_connection_string(setting: str, text: str) -> None:
    from azure.servicebus import parse_connection_string

    try:
        parse_connection_string(text)
    except ValueError:
        # The SDK's message is left out: it may quote the connection string.
        raise TriggerSkippedError(f"{setting} must be a Service Bus connection string") from None


def _managed_identity(members: Mapping[str, str]) -> "AsyncTokenCredential":
    from azure.identity.aio import ManagedIdentityCredential

    return ManagedIdentityCredential(client_id=members.get("clientid"), **_by_resource_id(members))


def _default(members: Mapping[str, str]) -> "AsyncTokenCredential":
    from azure.identity.aio import DefaultAzureCredential

    by_resource_id = _by_resource_id(members)
    client_id = members.get("clientid")
    # An explicit `None` stops the credential from reading AZURE_CLIENT_ID.
    by_client_id = {"managed_identity_client_id": client_id} if client_id or by_resource_id else {}
    return DefaultAzureCredential(**by_client_id, **by_resource_id)


def _by_resource_id(members: Mapping[str, str]) -> dict[str, Any]:
    resource_id = members.get("managedidentityresourceid")
    # App Service's name of the parameter (azure-sdk-for-python#11789).
    return {"identity_config": {"mi_res_id": resource_id}} if resource_id else {}


def _client_secret(members: Mapping[str, str]) -> "AsyncTokenCredential":
    from azure.identity.aio import ClientSecretCredential

    return ClientSecretCredential(members["tenantid"], members["clientid"], members["clientsecret"])


_CREDENTIALS: "Mapping[str, Callable[[Mapping[str, str]], AsyncTokenCredential]]" = {
    "managedidentity": _managed_identity,
    "": _default,
}


@contextlib.asynccontextmanager
async def open_receiver(connection: Connection, queue: str) -> "AsyncIterator[ServiceBusReceiver]":
    """
    Opens a receiver for `queue` in peek-lock mode, and closes it in the end; SDK errors propagate.

    Each receiver has its own AMQP connection and must be used by one task at a time: the SDK is not
    thread-safe (TROUBLESHOOTING.md of azure-servicebus 7.15.0, "Thread safety limitations").
    """
    client, credential = connection.create_client()
    async with contextlib.AsyncExitStack() as stack:
        if credential is not None:
            stack.push_async_callback(_close, credential.close)
        stack.push_async_callback(_close, client.close)
        # No prefetch: the locks of prefetched messages would run out in the buffer.
        receiver = client.get_queue_receiver(
            queue, prefetch_count=0, socket_timeout=_SOCKET_TIMEOUT
        )
        async with asyncio.timeout(_OPEN_TIMEOUT):
            await receiver.__aenter__()
        yield receiver


async def _close(close: Callable[[], Awaitable[None]]) -> None:
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT):
            await close()
    except Exception as exc:  # noqa: BLE001 - nothing can be done about a failed close
        logger.debug("closing failed: %s", type(exc).__name__)
