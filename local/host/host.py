"""The host: serves an app's HTTP functions and runs its queue functions."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from local.host import environment
from local.host.app import AppFunction, load_functions
from local.host.errors import AppStartError, TriggerSkippedError
from local.host.host_json import ServiceBusOptions, read_host_json
from local.host.http_trigger import MAX_BODY, HttpTriggerHandler
from local.host.invocations import STOP_TIMEOUT, Invocations
from local.host.routes import HttpFunction
from local.host.service_bus import ListenerOptions, QueueListeners, QueueTrigger
from local.host.validation import find_function_faults, find_route_faults
from local.server_certificate import create_server_certificate

# The time after which Azure's load balancer gives up: https://learn.microsoft.com/azure/
# azure-functions/functions-scale#timeout
RESPONSE_TIMEOUT = 230.0
# Kestrel limits all headers together to 32 KB; a single one, such as a token, may use most of it.
_MAX_HEADER = 32_768


@dataclass(frozen=True)
class HttpFunctionInfo:
    """An HTTP function as callers see it; no methods means every method."""

    name: str
    methods: tuple[str, ...]
    route: str
    auth_level: str
    url: str


@dataclass(frozen=True)
class QueueFunctionInfo:
    """A function that receives from a queue; `connection` is the name in its trigger."""

    name: str
    trigger: str
    queue: str
    connection: str


@dataclass(frozen=True)
class SkippedFunctionInfo:
    """A function that this host does not run, with the reason."""

    name: str
    trigger: str
    reason: str


class Host:
    """
    A host of the functions that the `FunctionApp` of `app_dir`/`function_app.py` registered.

    Port 0 picks a free port; `url` has its number. Without `key` no caller needs one, as under Azure
    Functions Core Tools. After `response_timeout` seconds an HTTP function's caller gets 504. With
    `tls_port` it also serves https, with the self-signed `tls_certificate` (PEM).
    """

    def __init__(
        self,
        app_dir: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 7071,
        tls_port: int | None = None,
        key: str | None = None,
        response_timeout: float = RESPONSE_TIMEOUT,
        listener: ListenerOptions | None = None,
    ) -> None:
        self._app_dir = app_dir.resolve()
        self._address = host
        self._port = port
        self._tls_port = tls_port
        self._certificate = create_server_certificate("Functions host", host)
        self.tls_certificate = self._certificate.certificate
        self._key = key
        self._response_timeout = response_timeout
        self._listener_options = listener or ListenerOptions()
        self._invocations: Invocations | None = None
        self._runner: web.AppRunner | None = None
        self._listeners: QueueListeners | None = None
        self._http: Sequence[HttpFunction] = ()
        self.queue_functions: Sequence[QueueFunctionInfo] = ()
        """The functions that receive from queues."""
        self.skipped_functions: Sequence[SkippedFunctionInfo] = ()
        """The functions that this host does not run."""

    @property
    def url(self) -> str:
        """The URL of the host, without a trailing slash."""
        port = self._runner.addresses[0][1] if self._runner else self._port
        return f"http://{self._host_name}:{port}"

    @property
    def tls_url(self) -> str:
        """The https URL; raises ValueError if the host serves none."""
        if self._tls_port is None:
            raise ValueError("https is disabled: set tls_port")
        port = self._runner.addresses[1][1] if self._runner else self._tls_port
        return f"https://{self._host_name}:{port}"

    @property
    def _host_name(self) -> str:
        return f"[{self._address}]" if ":" in self._address else self._address

    @property
    def functions(self) -> list[HttpFunctionInfo]:
        """The HTTP functions, in the order in which their routes are tried."""
        return [
            HttpFunctionInfo(
                name=http.function.name,
                methods=http.methods,
                route=http.template.text,
                auth_level=http.auth_level,
                url=f"{self.url}/{http.template.text}",
            )
            for http in self._http
        ]

    async def start(self) -> None:
        """
        Loads the app, listens and starts to receive; raises AppStartError if Azure would reject it.

        A namespace that cannot be reached does not keep the host from starting.
        """
        host_json = read_host_json(self._app_dir)
        functions = load_functions(self._app_dir)
        self._http = _http_functions(functions, host_json.route_prefix)
        triggers = self._queue_triggers(functions, host_json.service_bus)
        self._invocations = Invocations()
        handler = HttpTriggerHandler(
            self._http,
            self._invocations,
            disabled=frozenset(f.name for f in functions if environment.is_disabled(f.name)),
            key=self._key,
            response_timeout=self._response_timeout,
        )
        await self._listen(handler)
        self._listeners = QueueListeners(
            triggers, host_json.service_bus, self._invocations, self._listener_options
        )
        self._listeners.start()

    async def stop(self) -> None:
        """Stops listening and receiving; waits briefly for running functions, then cancels them."""
        runner, self._runner = self._runner, None
        listeners, self._listeners = self._listeners, None
        stops = [runner.cleanup()] if runner is not None else []
        stops += [listeners.stop()] if listeners is not None else []
        await asyncio.gather(*stops)
        if self._invocations is not None:
            await self._invocations.stop()

    def _queue_triggers(
        self, functions: Sequence[AppFunction], options: ServiceBusOptions
    ) -> list[QueueTrigger]:
        """Returns the triggers to listen for; sets `queue_functions` and `skipped_functions`."""
        triggers: list[QueueTrigger] = []
        skipped: list[SkippedFunctionInfo] = []
        for function in (function for function in functions if not function.is_http):
            try:
                triggers.append(QueueTrigger.from_function(function, options))
            except TriggerSkippedError as exc:
                kind = str(function.trigger["type"])
                skipped.append(SkippedFunctionInfo(function.name, kind, str(exc)))
        self.queue_functions = [
            QueueFunctionInfo(t.function.name, t.kind, t.queue, t.connection.name) for t in triggers
        ]
        self.skipped_functions = skipped
        return triggers

    async def _listen(self, handler: HttpTriggerHandler) -> None:
        application = web.Application(client_max_size=MAX_BODY)
        application.router.add_route("*", "/{path:.*}", handler.handle)
        runner = web.AppRunner(
            application,
            access_log=None,
            logger=_server_logger(),
            auto_decompress=False,
            max_field_size=_MAX_HEADER,
            shutdown_timeout=STOP_TIMEOUT,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, self._address, self._port).start()
            if self._tls_port is not None:
                context = self._certificate.create_context()
                await web.TCPSite(
                    runner, self._address, self._tls_port, ssl_context=context
                ).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner


def describe_functions(host: Host) -> list[str]:
    """Returns a line per function: its name, methods or trigger, and URL, queue or skip reason."""
    rows = [(f.name, ",".join(f.methods) or "ANY", f.url) for f in host.functions]
    rows += [
        (f.name, f.trigger, f"queue {f.queue}, connection {f.connection}")
        for f in host.queue_functions
    ]
    rows += [(f.name, f.trigger, f"not started: {f.reason}") for f in host.skipped_functions]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    return [
        f"  {name:{widths[0]}}  {trigger:{widths[1]}}  {target}" for name, trigger, target in rows
    ]


def _server_logger() -> logging.Logger:
    logger = logging.getLogger("local.host.server")
    logger.addFilter(_drop_request_text)
    return logger


def _drop_request_text(record: logging.LogRecord) -> bool:
    """Removes the text of a request that cannot be parsed from the log: it may hold a key."""
    if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
        record.exc_info = None
    return True


def _http_functions(functions: Sequence[AppFunction], route_prefix: str) -> list[HttpFunction]:
    """Returns the HTTP functions; raises AppStartError with every fault of every function."""
    faults = find_function_faults(functions)
    http_functions: list[HttpFunction] = []
    for function in (function for function in functions if function.is_http):
        try:
            http_functions.append(HttpFunction.from_function(function, route_prefix=route_prefix))
        except ValueError as exc:
            faults.append(f"{function.name}: the route is not valid: {exc}")
    faults += find_route_faults(http_functions)
    if faults:
        raise AppStartError(faults)
    return http_functions
