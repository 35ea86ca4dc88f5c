"""The host: an app's HTTP functions on a socket, its queue functions on their queues."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from local.host import environment
from local.host.answering import MAX_BODY, Answering
from local.host.checks import function_faults, route_faults
from local.host.errors import AppRefusedError
from local.host.host_json import ServiceBusOptions, read_host_json
from local.host.invoking import STOP_WITHIN, Invocations
from local.host.loading import AppFunction, load_functions
from local.host.queues import DRAIN_WITHIN, Feeding, NotFedError, QueueTrigger
from local.host.routing import HttpFunction

# Azure's load balancer waits this long for an answer: https://learn.microsoft.com/azure/
# azure-functions/functions-scale#timeout
ANSWER_WITHIN = 230.0
# Kestrel's limit is 32 KB for all headers together; one of them, a token, may take most of it.
_MAX_HEADER = 32_768


@dataclass(frozen=True)
class ServedFunction:
    """One HTTP function as callers see it; without methods it takes every method."""

    name: str
    methods: tuple[str, ...]
    route: str
    auth_level: str
    url: str


@dataclass(frozen=True)
class FedFunction:
    """One function that gets the messages of a queue; `connection` is the name in its trigger."""

    name: str
    trigger: str
    queue: str
    connection: str


@dataclass(frozen=True)
class IdleFunction:
    """One function that nothing starts here, and why."""

    name: str
    trigger: str
    reason: str


class Host:
    """Serves the functions that `function_app.app` in `app_dir` registered.

    Port 0 takes a free one, `url` names it. Without `key` nobody needs one, as under Azure
    Functions Core Tools. A stop waits `drain_within` seconds for messages that are being handled.
    A queue that is far away takes several `receivers` to be emptied fast; one keeps its order.
    """

    def __init__(
        self,
        app_dir: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 7071,
        key: str | None = None,
        answer_within: float = ANSWER_WITHIN,
        drain_within: float = DRAIN_WITHIN,
        receivers: int = 1,
    ) -> None:
        self._app_dir = app_dir.resolve()
        self._address = host
        self._port = port
        self._key = key
        self._answer_within = answer_within
        self._drain_within = drain_within
        self._receivers = receivers
        self._invocations: Invocations | None = None
        self._runner: web.AppRunner | None = None
        self._feeding: Feeding | None = None
        self._http: Sequence[HttpFunction] = ()
        self.fed: Sequence[FedFunction] = ()
        """The functions that get messages."""
        self.idle: Sequence[IdleFunction] = ()
        """The functions that neither requests nor messages start here."""

    @property
    def url(self) -> str:
        """Where the host listens, without a slash at its end."""
        port = self._runner.addresses[0][1] if self._runner else self._port
        address = f"[{self._address}]" if ":" in self._address else self._address
        return f"http://{address}:{port}"

    @property
    def functions(self) -> list[ServedFunction]:
        """The HTTP functions in the order in which their routes are tried."""
        return [
            ServedFunction(
                name=http.function.name,
                methods=http.methods,
                route=http.template.text,
                auth_level=http.auth_level,
                url=f"{self.url}/{http.template.text}",
            )
            for http in self._http
        ]

    async def start(self) -> None:
        """Loads the app, listens and begins to receive; AppRefusedError if Azure would not run it.

        A namespace that cannot be reached does not keep it from starting.
        """
        host_json = read_host_json(self._app_dir)
        functions = load_functions(self._app_dir)
        self._http = _http_functions(functions, host_json.route_prefix)
        triggers = self._triggers(functions, host_json.service_bus)
        self._invocations = Invocations()
        answering = Answering(
            self._http,
            self._invocations,
            disabled=frozenset(f.name for f in functions if environment.is_disabled(f.name)),
            key=self._key,
            answer_within=self._answer_within,
        )
        await self._listen(answering)
        self._feeding = Feeding(
            triggers,
            host_json.service_bus,
            self._invocations,
            drain_within=self._drain_within,
            receivers=self._receivers,
        )
        self._feeding.start()

    async def stop(self) -> None:
        """Stops listening and receiving; what is under way gets a moment, then it is cancelled."""
        runner, self._runner = self._runner, None
        feeding, self._feeding = self._feeding, None
        ends = [runner.cleanup()] if runner is not None else []
        ends += [feeding.stop()] if feeding is not None else []
        await asyncio.gather(*ends)
        if self._invocations is not None:
            await self._invocations.stop()

    def _triggers(
        self, functions: Sequence[AppFunction], options: ServiceBusOptions
    ) -> list[QueueTrigger]:
        """The triggers to feed; what is fed and what is not can be read of the host then."""
        triggers: list[QueueTrigger] = []
        idle: list[IdleFunction] = []
        for function in (function for function in functions if not function.is_http):
            try:
                triggers.append(QueueTrigger.of(function, options))
            except NotFedError as exc:
                kind = str(function.trigger["type"])
                idle.append(IdleFunction(function.name, kind, str(exc)))
        self.fed = [
            FedFunction(t.function.name, t.kind, t.queue, t.connection.name) for t in triggers
        ]
        self.idle = idle
        return triggers

    async def _listen(self, answering: Answering) -> None:
        application = web.Application(client_max_size=MAX_BODY)
        application.router.add_route("*", "/{path:.*}", answering.answer)
        runner = web.AppRunner(
            application,
            access_log=None,
            logger=_server_logger(),
            auto_decompress=False,
            max_field_size=_MAX_HEADER,
            shutdown_timeout=STOP_WITHIN,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, self._address, self._port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner


def _server_logger() -> logging.Logger:
    logger = logging.getLogger("local.host.server")
    logger.addFilter(_without_unreadable_request)
    return logger


def _without_unreadable_request(record: logging.LogRecord) -> bool:
    """Takes the text of a request that cannot be parsed out of the log: a key may stand in it."""
    if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
        record.exc_info = None
    return True


def _http_functions(functions: Sequence[AppFunction], route_prefix: str) -> list[HttpFunction]:
    """The HTTP functions among `functions`; AppRefusedError names all faults of all of them."""
    faults = function_faults(functions)
    found: list[HttpFunction] = []
    for function in (function for function in functions if function.is_http):
        try:
            found.append(HttpFunction.of(function, route_prefix=route_prefix))
        except ValueError as exc:
            faults.append(f"{function.name}: the route cannot be read: {exc}")
    faults += route_faults(found)
    if faults:
        raise AppRefusedError(faults)
    return found
