"""
The HTTP transport: httpx over aiohttp, as httpx's own transport takes several times the CPU time.

Requests go to the transport directly: httpx's client adds a third to the cost, for redirects,
cookies and authentication flows that DPS does not use.

httpx-aiohttp 0.2 raises the same error for a reset, a refused connection and a full pool, and
aiohttp resends an idempotent request if a reused connection broke: a create that was applied would
then fail as a conflict. A middleware that raises httpx's errors in place of aiohttp's prevents
both.
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
"""The headers of every request to DPS."""


class HostError(httpx.ConnectError):
    """The host name cannot be resolved, or the TLS certificate is not trusted."""


# The first match is used, so subclasses come before their base classes.
_HTTPX_ERRORS: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
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


async def _translate_errors(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    try:
        return await handler(request)
    except (aiohttp.ClientError, OSError) as error:
        translated = next(to for kind, to in _HTTPX_ERRORS if isinstance(error, kind))
        raise translated(str(error)) from error


def _trusted_certificates() -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context()
    except OSError as error:  # ssl's own errors among them
        message = "Must be a file of trusted certificates; if unset, certifi's are used."
        raise NotConfiguredError({"SSL_CERT_FILE": message}) from error


def create_transport(settings: Settings) -> httpx.AsyncBaseTransport:
    """
    Returns the transport for one event loop. It sends each request exactly once.

    Raises `NotConfiguredError` if `SSL_CERT_FILE` has no certificates.
    """
    tls = _trusted_certificates()

    def session() -> ClientSession:
        return ClientSession(
            connector=aiohttp.TCPConnector(limit=_MAX_CONNECTIONS, ssl=tls),
            # Cookies that DPS sets are not sent back.
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_translate_errors,),
            skip_auto_headers={"Content-Type"},
            # Plain HTTP is only allowed for loopback, where no proxy is used.
            trust_env=settings.dps_url.startswith("https:"),
        )

    return AiohttpTransport(client=session, verify=tls)
