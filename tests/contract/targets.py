"""Where the contract must hold: an endpoint, and what every request to it needs."""

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx
from azure.core.utils import parse_connection_string

from tests.local.dps.calls import API_VERSION, signature

TLS = ssl.create_default_context()  # made once: it takes longer than most tests


@dataclass(frozen=True, kw_only=True)
class Target:
    """DPS, the stand-in for it, or the app in front of it; `headers` go with every request."""

    url: str
    connection_string: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def host(self) -> str:
        """Host and port, as plain clients sign them."""
        return httpx.URL(self.url).netloc.decode()

    @property
    def policy(self) -> str:
        """The name of the access policy."""
        return parse_connection_string(self.connection_string)["sharedaccesskeyname"]

    @property
    def key(self) -> str:
        """The key of the access policy."""
        return parse_connection_string(self.connection_string)["sharedaccesskey"]

    def client(self) -> httpx.AsyncClient:
        """A plain HTTP client that signs as the documentation says, and names the api-version."""
        expiry = int(time.time()) + 3600
        signed = signature(self.host, key=self.key, name=self.policy, expiry=expiry)
        return httpx.AsyncClient(
            base_url=self.url,
            params=API_VERSION,
            headers={"Authorization": signed, **self.headers},
            verify=TLS,
            timeout=20,
        )
