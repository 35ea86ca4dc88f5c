"""How clients are pointed at the functions; `url` is what would be the endpoint of a DPS."""

from typing import Any

import httpx
from azure.core.credentials import AzureNamedKeyCredential
from azure.iot.deviceprovisioning import DeviceProvisioningClient
from azure.iot.deviceprovisioning.aio import DeviceProvisioningClient as AioDeviceProvisioningClient

# The SDK signs with whatever it is given. The functions do not look at it: the function key counts.
UNUSED = AzureNamedKeyCredential(name="unused", key="dW51c2Vk")

SECONDS = 30.0
# One call each, so that what is shown is what happened.
_ONE_TRY: dict[str, Any] = {"retry_total": 0, "connection_timeout": 5, "read_timeout": SECONDS}


def sdk(url: str, function_key: str) -> DeviceProvisioningClient:
    """The SDK's client; a function key is all it needs beside the URL."""
    headers = {"x-functions-key": function_key}
    return DeviceProvisioningClient(url, UNUSED, headers=headers, **_ONE_TRY)


def sdk_aio(url: str, function_key: str) -> AioDeviceProvisioningClient:
    """The same for asyncio."""
    headers = {"x-functions-key": function_key}
    return AioDeviceProvisioningClient(url, UNUSED, headers=headers, **_ONE_TRY)


def http(url: str, function_key: str | None = None) -> httpx.Client:
    """Plain HTTP, with the function key or, to show that it is needed, without."""
    headers = {} if function_key is None else {"x-functions-key": function_key}
    return httpx.Client(base_url=url, headers=headers, timeout=SECONDS)
