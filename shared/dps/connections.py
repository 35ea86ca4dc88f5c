"""
The connections to DPS: httpx over aiohttp, which costs a fifth of the CPU of httpx's own transport.

httpx's client would add a third to that, for redirects, cookies and proofs that DPS knows nothing
of, so requests go to its transport.

httpx-aiohttp 0.2 names a reset, a refused connection and a full pool alike, and aiohttp resends an
idempotent request on a reused connection that broke: a create that was committed would come back as
a conflict. Errors that are raised by name where aiohttp would look for its own mend both.
"""

import ssl
from collections.abc import Mapping

import aiohttp
import httpx
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, ClientSession
from httpx_aiohttp import AiohttpTransport

from shared.errors import NotConfiguredError
from shared.settings import Settings

_MAX_CONNECTIONS = 100

HEADERS: Mapping[str, str] = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": "dps-enrollment-functions",
}
"""What every request to DPS says of itself."""


class HostError(httpx.ConnectError):
    """No name server knows the host, or it cannot prove that it is who it says."""


# The first that fits, so the special come before the general.
_NAMED: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.ServerTimeoutError, httpx.ReadTimeout),
    (aiohttp.ClientConnectorDNSError, HostError),
    (aiohttp.ClientSSLError, HostError),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.ClientHttpProxyError, httpx.ProxyError),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
    (aiohttp.ClientError, httpx.ReadError),
    (OSError, httpx.ReadError),
)


async def _errors_by_name(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    try:
        return await handler(request)
    except (aiohttp.ClientError, OSError) as error:
        named = next(name for found, name in _NAMED if isinstance(error, found))
        raise named(str(error)) from error


def _trusted_certificates() -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context()
    except OSError as error:  # ssl's own errors among them
        fault = "Names no file of certificates; without it those of certifi are trusted."
        raise NotConfiguredError({"SSL_CERT_FILE": fault}) from error


def http_transport(settings: Settings) -> httpx.AsyncBaseTransport:
    """
    The connections of one event loop; each request is sent exactly once.

    Raises `NotConfiguredError` if the certificates that the environment names are none.
    """
    tls = _trusted_certificates()

    def session() -> ClientSession:
        return ClientSession(
            connector=aiohttp.TCPConnector(limit=_MAX_CONNECTIONS, ssl=tls),
            # Nothing DPS sets is sent back.
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_errors_by_name,),
            skip_auto_headers={"Content-Type"},
            # Plain http is for this machine, where no proxy stands between.
            trust_env=settings.dps_url.startswith("https:"),
        )

    return AiohttpTransport(client=session, verify=tls)


def timeouts(settings: Settings) -> Mapping[str, float | None]:
    """How long each part of one attempt may take, as httpx's transports are told."""
    return httpx.Timeout(settings.dps_attempt_timeout_seconds).as_dict()
