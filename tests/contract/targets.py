"""Where the contract is tested: targets, and the clients that call them."""

import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from azure.core.utils import parse_connection_string

from tests.local.dps.calls import API_VERSION, signature

TLS = ssl.create_default_context()  # created once: it takes longer than most tests


@dataclass(frozen=True, kw_only=True)
class Target:
    """DPS, its stand-in, or the app in front of it; `headers` are sent with every request."""

    url: str
    connection_string: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def host(self) -> str:
        """Host and port, as signatures contain them."""
        return httpx.URL(self.url).netloc.decode()

    @property
    def policy(self) -> str:
        """The name of the access policy."""
        return parse_connection_string(self.connection_string)["sharedaccesskeyname"]

    @property
    def key(self) -> str:
        """The key of the access policy."""
        return parse_connection_string(self.connection_string)["sharedaccesskey"]

    def create_http_client(self) -> httpx.AsyncClient:
        """Returns an HTTP client that sends a valid signature and the api-version."""
        expiry = int(time.time()) + 3600
        signed = signature(self.host, key=self.key, name=self.policy, expiry=expiry)
        return httpx.AsyncClient(
            base_url=self.url,
            params=API_VERSION,
            headers={"Authorization": signed, **self.headers},
            verify=TLS,
            timeout=20,
        )


@dataclass(frozen=True)
class Combination:
    """A target, by the name of its fixture, and a client, by its name in `clients.CLIENTS`."""

    target: str
    client: str

    @property
    def is_live(self) -> bool:
        """Whether it is a real DPS, where records that a test leaves stay and cost."""
        return self.target == "live"


_CLIENTS = ("httpx", "sdk-sync", "sdk-aio")
_LOCAL = [
    *(Combination("stand_in", client) for client in (*_CLIENTS, "app-client")),
    # The app's own client calls DPS, not the app.
    *(Combination("app", client) for client in _CLIENTS),
]
_LIVE = [Combination("live", client) for client in (*_CLIENTS, "app-client")]


def _parameters(combinations: Sequence[Combination]) -> list[Any]:
    return [
        pytest.param(
            combination,
            id=f"{combination.target.replace('_', '-')}-{combination.client}",
            marks=[pytest.mark.live] if combination.is_live else [],
        )
        for combination in combinations
    ]


ALL_COMBINATIONS = _parameters(_LOCAL + _LIVE)

local_only = pytest.mark.parametrize("combination", _parameters(_LOCAL), indirect=True)
"""For claims that configure the stand-in, count all records, or have no evidence from real DPS."""

http_only = pytest.mark.parametrize(
    "combination",
    _parameters([each for each in _LOCAL + _LIVE if each.client == "httpx"]),
    indirect=True,
)
"""For claims that clients hide: headers, media types and paths."""
