"""The stand-in as a server: an instance, a gateway, two sockets."""

import asyncio
import os
import socket
import ssl
import tempfile
from asyncio.trsock import TransportSocket
from contextlib import suppress
from pathlib import Path
from typing import Final

from aiohttp import web

from local.dps.certificates import self_made
from local.dps.gateway import Gateway
from local.dps.instance import Instance
from local.dps.options import Options
from local.dps.rules import MAX_BODY
from local.dps.traffic import Request

# Long enough for an answer that is being written, short enough for a person.
SHUTDOWN_SECONDS: Final = 0.2
_MOMENT = 0.001


class DpsStandIn:
    """Serves one provisioning service instance over http and https until it is stopped."""

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        self.tls_certificate, self._tls_key = self_made(self.options.host)
        self.port = self.options.port
        self.tls_port = self.options.tls_port
        self._instance = Instance(self.options)
        self._gateway = Gateway(self._instance)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listens; OSError names the port that could not be had."""
        application = web.Application(client_max_size=MAX_BODY)
        application.router.add_route("*", "/{path:.*}", self._gateway.answer)
        application.on_response_prepare.append(_as_recorded)
        self._runner = web.AppRunner(
            application, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS
        )
        await self._runner.setup()
        try:
            self.port = await self._listen(self._runner, self.options.port, None)
            if self.options.tls_port is not None:
                context = self._gateway.certificates.asking(self._tls_context)
                self.tls_port = await self._listen(self._runner, self.options.tls_port, context)
        except OSError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Closes everything, whether or not anybody still waits for an answer."""
        self._gateway.release()
        if self._runner is not None:
            connections = _connections(self._runner)
            await self._runner.cleanup()
            self._runner = None
            await _hang_up(connections)
        await self._instance.close()

    @property
    def url(self) -> str:
        """The http endpoint."""
        return f"http://{self._host}:{self.port}"

    @property
    def tls_url(self) -> str:
        """The https endpoint; ValueError if there is none."""
        if self.tls_port is None:
            raise ValueError("this stand-in was made without https")
        return f"https://{self._host}:{self.tls_port}"

    @property
    def connection_string(self) -> str:
        """Of the first access policy, with the http port in its host name."""
        policy = self.options.policies[0]
        return (
            f"HostName={self._host}:{self.port};SharedAccessKeyName={policy.name};"
            f"SharedAccessKey={policy.primary_key}"
        )

    @property
    def requests(self) -> list[Request]:
        """The last ten thousand requests to the APIs, oldest first."""
        return list(self._instance.traffic.requests)

    @property
    def control_endpoints(self) -> list[str]:
        """Method and path of each."""
        return self._gateway.control.endpoints

    @property
    def _host(self) -> str:
        return "127.0.0.1" if self.options.host == "0.0.0.0" else self.options.host  # noqa: S104

    async def _listen(
        self, runner: web.AppRunner, port: int, context: ssl.SSLContext | None
    ) -> int:
        host = self.options.host
        site = web.TCPSite(runner, host, port, ssl_context=context)
        try:
            await site.start()
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise OSError(error.errno, f"port {port} on {host} cannot be had: {reason}") from error
        return int(runner.addresses[-1][1])

    def _tls_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as directory:  # ssl reads keys from files only
            chain = Path(directory, "chain.pem")
            chain.write_bytes(self._tls_key + self.tls_certificate)
            context.load_cert_chain(chain)
        return context


def _connections(runner: web.AppRunner) -> list[TransportSocket]:
    handlers = runner.server.connections if runner.server else []
    transports = [handler.transport for handler in handlers if handler.transport]
    connections = [transport.get_extra_info("socket") for transport in transports]
    return [one for one in connections if one]  # TLS that is just ending has none any more


async def _hang_up(connections: list[TransportSocket]) -> None:
    """Ends what is still open: over TLS asyncio waits half a minute for the client's goodbye."""
    left = connections
    end = asyncio.get_running_loop().time() + SHUTDOWN_SECONDS
    while left and asyncio.get_running_loop().time() < end:
        await asyncio.sleep(_MOMENT)
        left = [connection for connection in left if connection.fileno() >= 0]
        for connection in left:
            with suppress(OSError):  # the client was quicker
                connection.shutdown(socket.SHUT_RDWR)


async def _as_recorded(_: web.BaseRequest, response: web.StreamResponse) -> None:
    """R: no Server header; a 204 has no Content-Type."""
    response.headers.popall("Server", None)
    if response.status == web.HTTPNoContent.status_code:
        response.headers.popall("Content-Type", None)
