"""The stand-in as a server: an instance and a gateway, on an http and an https port."""

import asyncio
import os
import socket
import ssl
from asyncio.trsock import TransportSocket
from contextlib import suppress
from typing import Final

from aiohttp import web

from local.dps.gateway import Gateway
from local.dps.instance import Instance
from local.dps.options import Options
from local.dps.request_log import LoggedRequest
from local.server_certificate import create_server_certificate

MAX_BODY: Final = 1024 * 1024  # bytes; assumed

# Enough to finish a response that is being written.
SHUTDOWN_SECONDS: Final = 0.2
_CHECK_INTERVAL_SECONDS = 0.001


class DpsStandIn:
    """A server of one provisioning service instance over http and https."""

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        self._certificate = create_server_certificate("DPS stand-in", self.options.host)
        self.tls_certificate = self._certificate.certificate
        self.port = self.options.port
        self.tls_port = self.options.tls_port
        self._instance = Instance(self.options)
        self._gateway = Gateway(self._instance)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Starts listening; raises OSError, which names the port, if a port is not available."""
        application = web.Application(client_max_size=MAX_BODY)
        application.router.add_route("*", "/{path:.*}", self._gateway.handle)
        application.on_response_prepare.append(_remove_headers)
        self._runner = web.AppRunner(
            application, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS
        )
        await self._runner.setup()
        try:
            self.port = await self._listen(self._runner, self.options.port, None)
            if self.options.tls_port is not None:
                create_context = self._gateway.certificates.create_context
                context = create_context(self._certificate.create_context)
                self.tls_port = await self._listen(self._runner, self.options.tls_port, context)
        except OSError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stops listening and closes all connections, without waiting for open requests."""
        self._gateway.release()
        if self._runner is not None:
            connections = _open_connections(self._runner)
            await self._runner.cleanup()
            self._runner = None
            await _shut_down(connections)
        await self._instance.close()

    @property
    def url(self) -> str:
        """The http endpoint."""
        return f"http://{self._host}:{self.port}"

    @property
    def tls_url(self) -> str:
        """The https endpoint; raises ValueError if there is none."""
        if self.tls_port is None:
            raise ValueError("https is disabled: set Options.tls_port")
        return f"https://{self._host}:{self.tls_port}"

    @property
    def connection_string(self) -> str:
        """A connection string of the first access policy; its HostName includes the http port."""
        policy = self.options.policies[0]
        return (
            f"HostName={self._host}:{self.port};SharedAccessKeyName={policy.name};"
            f"SharedAccessKey={policy.primary_key}"
        )

    @property
    def requests(self) -> list[LoggedRequest]:
        """The last ten thousand requests to the APIs, oldest first."""
        return list(self._instance.request_log.requests)

    @property
    def control_endpoints(self) -> list[str]:
        """Method and path of each control endpoint."""
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
            message = f"cannot listen on port {port} of {host}: {reason}"
            raise OSError(error.errno, message) from error
        return int(runner.addresses[-1][1])


def _open_connections(runner: web.AppRunner) -> list[TransportSocket]:
    handlers = runner.server.connections if runner.server else []
    transports = [handler.transport for handler in handlers if handler.transport]
    connections = [transport.get_extra_info("socket") for transport in transports]
    # A TLS connection that is being closed has no socket.
    return [connection for connection in connections if connection]


async def _shut_down(connections: list[TransportSocket]) -> None:
    """Shuts down open sockets: asyncio would wait 30 s for the close_notify of TLS clients."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + SHUTDOWN_SECONDS
    while connections and loop.time() < deadline:
        await asyncio.sleep(_CHECK_INTERVAL_SECONDS)
        connections = [connection for connection in connections if connection.fileno() >= 0]
        for connection in connections:
            with suppress(OSError):  # the client has closed it meanwhile
                connection.shutdown(socket.SHUT_RDWR)


async def _remove_headers(_: web.BaseRequest, response: web.StreamResponse) -> None:
    """Removes headers that DPS does not send (recorded): Server, and Content-Type from a 204."""
    response.headers.popall("Server", None)
    if response.status == web.HTTPNoContent.status_code:
        response.headers.popall("Content-Type", None)
