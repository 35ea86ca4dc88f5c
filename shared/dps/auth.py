"""How the app proves to DPS who it is: what it puts into `Authorization`."""

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

# A token that lapses while a call is under way fails it, so each is renewed a little early.
_RENEW_BEFORE_EXPIRY = 300.0
_TOKEN_TIMEOUT = 10.0


class Credential(Protocol):
    """Whatever can fill the `Authorization` header of a request to DPS."""

    async def authorization(self) -> str:
        """The header's value; raises `DpsCredentialError` if there is none to be had."""

    async def aclose(self) -> None:
        """Lets go of connections."""


def credential_of(settings: Settings) -> Credential:
    """The credential the settings name."""
    if settings.dps_connection_string:
        return SharedAccessSignature(settings.dps_connection_string)
    return EntraToken()


class SharedAccessSignature:
    """
    A signature made with an access policy's key, kept until shortly before it lapses.

    Its form and lifetime: docs page "Control access to DPS with shared access signatures"
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
        """The `SharedAccessSignature …` of the moment."""
        if self._clock() > self._expires - _RENEW_BEFORE_EXPIRY:
            self._sign(self._clock() + self.LIFETIME)
        return self._signature

    def _sign(self, expires: float) -> None:
        signed = f"{self._resource}\n{int(expires)}".encode()
        digest = hmac.new(self._key, signed, hashlib.sha256).digest()
        rest = {"sig": b64encode(digest), "se": int(expires), "skn": self._policy}
        self._signature = f"SharedAccessSignature sr={self._resource}&{urlencode(rest)}"
        self._expires = expires

    async def aclose(self) -> None:
        """Nothing is held."""


class EntraToken:
    """
    A Microsoft Entra token, kept until shortly before it lapses.

    Found by `DefaultAzureCredential`; docs page "Control access to DPS with Microsoft Entra ID".
    """

    SCOPE = "https://azure-devices-provisioning.net/.default"

    def __init__(self) -> None:
        self._credential: AsyncTokenCredential | None = None
        self._header = ""
        self._expires = 0.0
        self._renewal = asyncio.Lock()

    async def authorization(self) -> str:
        """The `Bearer …` of the moment."""
        if self._renewal.locked() and time.time() < self._expires:
            return self._header  # one caller renews; the others need not wait for it
        async with self._renewal:
            if time.time() > self._expires - _RENEW_BEFORE_EXPIRY:
                await self._renew()
        return self._header

    async def _renew(self) -> None:
        from azure.core.exceptions import AzureError  # noqa: PLC0415  costly: on first use
        from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415  costly: on first use

        try:
            self._credential = self._credential or DefaultAzureCredential()
            async with asyncio.timeout(_TOKEN_TIMEOUT):
                token = await self._credential.get_token(self.SCOPE)
        # The library checks the settings of an identity as it goes, each in its own way.
        except (AzureError, OSError, TimeoutError, ValueError) as error:
            if time.time() < self._expires:
                return  # the token at hand is good for a little longer
            raise DpsCredentialError(
                "Microsoft Entra gave the app no token for DPS: see its identity and DPS_ENDPOINT."
            ) from error
        self._header = f"Bearer {token.token}"
        self._expires = token.expires_on

    async def aclose(self) -> None:
        """Closes the credential's own connections."""
        if self._credential:
            await self._credential.close()
