"""From a request to its answer: route, key, size, function, response."""

import logging
from collections.abc import Sequence

from aiohttp import web

from local.host import keys
from local.host.context import Context, TraceContext
from local.host.conversion import decoded_path, from_function, to_function
from local.host.invoking import Invocations, OverdueError
from local.host.routing import HttpFunction, Match, find

# azure-functions-host, ScriptConstants.DefaultMaxRequestBodySize
MAX_BODY = 104_857_600

logger = logging.getLogger("local.host")


class Answering:
    """Answers HTTP requests from the functions it is given, in that order."""

    def __init__(
        self,
        functions: Sequence[HttpFunction],
        invocations: Invocations,
        *,
        disabled: frozenset[str],
        key: str | None,
        answer_within: float,
    ) -> None:
        self._functions = functions
        self._invocations = invocations
        self._disabled = disabled
        self._key = key
        self._answer_within = answer_within

    async def answer(self, request: web.Request) -> web.Response:
        """The answer to `request`; the host's own answers have no body."""
        response = await self._answer(request)
        # Never the query, where the key may stand.
        logger.info("%s %s -> %d", request.method, request.rel_url.raw_path, response.status)
        return response

    async def _answer(self, request: web.Request) -> web.Response:
        match = find(self._functions, request.method, decoded_path(request))
        if match is None or match.target.function.name in self._disabled:
            return web.Response(status=404)
        if not keys.admits(self._key, match.target.auth_level, request):
            return web.Response(status=401)
        if (request.content_length or 0) > MAX_BODY:
            response = web.Response(status=413)
            response.force_close()
            return response
        return await self._invoke(request, match)

    async def _invoke(self, request: web.Request, match: Match) -> web.Response:
        function = match.target.function
        try:
            body = await _body(request)
        except (ConnectionError, web.RequestPayloadError):
            # The caller has gone, or what it sent is no HTTP: nothing to invoke the function with.
            return web.Response(status=400)
        http_request = to_function(request, route_values=match.route_values, body=body)
        trace = TraceContext(
            request.headers.get("traceparent", ""), request.headers.get("tracestate", "")
        )
        context = Context(function.name, str(function.script_dir), trace)
        try:
            result = await self._invocations.result(
                function, http_request, context, within=self._answer_within
            )
            return from_function(result)
        except OverdueError as exc:
            logger.warning("%s: %s", function.name, exc)
            return web.Response(status=504)
        except Exception:
            logger.exception("%s failed (invocation %s)", function.name, context.invocation_id)
            return web.Response(status=500)


async def _body(request: web.Request) -> bytes:
    """The body as the function gets it: empty unless a Content-Length came with it.

    azure-functions-host, GrpcMessageConversionExtensions.cs, asks for ContentLength > 0.
    """
    if request.content_length:
        return await request.read()
    if request.can_read_body:
        logger.warning("a chunked body without Content-Length: the function gets an empty one")
    return b""
