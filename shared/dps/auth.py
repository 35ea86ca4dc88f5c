"""Credentials for DPS: shared access signatures and Microsoft Entra tokens."""

import asyncio
import hashlib
import hmac
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote, urlencode, urlsplit

from shared.errors import DpsCredentialError
from shared.settings import ConnectionString, Settings

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

# A call fails if its token expires in flight, so tokens are renewed early.
_RENEW_BEFORE_EXPIRY = 300.0
_TOKEN_TIMEOUT = 10.0


class Credential(Protocol):
    """A provider of the `Authorization` header of requests to DPS."""

    async def authorization(self) -> str:
        """Returns the header's value; raises `DpsCredentialError` if none can be acquired."""

    async def aclose(self) -> None:
        """Closes connections."""


def create_credential(settings: Settings) -> Credential:
    """Returns the credential that the settings select."""
    if settings.dps_connection_string:
        return SharedAccessSignature(settings.dps_connection_string)
    return EntraToken()


class SharedAccessSignature:
    """
    A signature made with the key of a shared access policy, cached until shortly before it expires.

    Format and lifetime: docs page "Control access to DPS with shared access signatures"
    (learn.microsoft.com/azure/iot-dps/how-to-control-access).
    """

    LIFETIME = 3600.0

    def __init__(
        self, connection_string: ConnectionString, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._resource = quote(urlsplit(connection_string.url).netloc, safe="")
        self._policy = connection_string.policy
        self._key = b64decode(connection_string.key.get_secret_value())
        self._clock = clock
        self._signature = ""
        self._expires = 0.0

    async def authorization(self) -> str:
        """Returns `SharedAccessSignature …`."""
        if self._clock() > self._expires - _RENEW_BEFORE_EXPIRY:
            self._sign(self._clock() + self.LIFETIME)
        return self._signature

    def _sign(self, expires: float) -> None:
        signed = f"{self._resource}\n{int(expires)}".encode()
        digest = hmac.new(self._key, signed, hashlib.sha256).digest()
        parameters = {"sig": b64encode(digest), "se": int(expires), "skn": self._policy}
        self._signature = f"SharedAccessSignature sr={self._resource}&{urlencode(parameters)}"
        self._expires = expires

    async def aclose(self) -> None:
        """Does nothing: there are no connections."""


class EntraToken:
    """
    A Microsoft Entra token, cached until shortly before it expires.

    Acquired by `DefaultAzureCredential`; docs page "Control access to DPS with Microsoft Entra ID".
    """

    SCOPE = "https://azure-devices-provisioning.net/.default"

    def __init__(self) -> None:
        self._credential: AsyncTokenCredential | None = None
        self._header = ""
        self._expires = 0.0
        self._renewal = asyncio.Lock()

    async def authorization(self) -> str:
        """Returns `Bearer …`."""
        if self._renewal.locked() and time.time() < self._expires:
            return self._header  # one caller renews; the others keep using the valid token
        async with self._renewal:
            if time.time() > self._expires - _RENEW_BEFORE_EXPIRY:
                await self._renew()
        return self._header

    async def _renew(self) -> None:
        from azure.core.exceptions import AzureError
        from azure.identity.aio import DefaultAzureCredential

        try:
            self._credential = self._credential or DefaultAzureCredential()
            async with asyncio.timeout(_TOKEN_TIMEOUT):
                token = await self._credential.get_token(self.SCOPE)
        # azure-identity raises OSError and ValueError too, for settings of its own.
        except (AzureError, OSError, TimeoutError, ValueError) as error:
            if time.time() < self._expires:
                return  # the current token is still valid
            raise DpsCredentialError(
                "No Microsoft Entra token for DPS: check the app's identity and DPS_ENDPOINT."
            ) from error
        self._header = f"Bearer {token.token}"
        self._expires = token.expires_on

    async def aclose(self) -> None:
        """Closes the credential's connections."""
        if self._credential:
            await self._credential.close()
