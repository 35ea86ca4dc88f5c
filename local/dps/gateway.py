"""Between the sockets and the APIs: versions, authorization, quota, latency and faults."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from local.dps.client_certificates import ClientCertificates
from local.dps.control import Control, Order
from local.dps.errors import Refused, error_body
from local.dps.faults import Fault
from local.dps.faulty_replies import faulty_reply
from local.dps.instance import Instance
from local.dps.replies import Call, Reply
from local.dps.routing import Operation
from local.dps.rules import TOO_LARGE, UNKNOWN_API_VERSION
from local.dps.traffic import Request
from local.dps.wire import reset, response, send_half

Ending = Callable[[Fault, web.Request, Request], Awaitable[web.StreamResponse]]


class Gateway:
    """Answers every request of every socket."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self.certificates = ClientCertificates()
        self._released = asyncio.Event()
        self.control = Control(instance, self.release)

    def release(self) -> None:
        """Ends the requests that a fault keeps waiting."""
        self._released.set()
        self._released = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The handler for all paths."""
        if request.path.startswith("/_"):
            order = Order(request.headers, request.query, await request.read())
            return response(self.control.run(request.method, request.path, order))
        traffic = self._instance.traffic
        seen = traffic.arrived(request.method, request.path, request.transport)
        fault = self._instance.faults.next_for(request.method, request.path)
        if fault is None:
            return self._send(seen, await self._operate(request, seen))
        traffic.faulted()
        return await self._disturb(fault, request, seen)

    def _send(self, seen: Request, reply: Reply) -> web.Response:
        self._instance.traffic.answered(seen, reply.status)
        return response(reply)

    async def _operate(self, request: web.Request, seen: Request) -> Reply:
        """Does what the request asks, or refuses it."""
        try:
            return await self._run(request, seen)
        except Refused as refused:
            body = error_body(refused, self._instance.options.clock())
            return Reply(refused.refusal.status, body, refused.headers)

    async def _run(self, request: web.Request, seen: Request) -> Reply:
        instance = self._instance
        operation, ids = instance.router.find(request.method, request.rel_url.raw_path)
        instance.traffic.found(seen, operation.name)
        self._check_api_version(request, operation)
        self._check_right(request, operation)
        call = await self._call(request, ids)
        items = operation.count_items(call)
        instance.admit(operation, items)
        instance.traffic.admitted(items)
        latency = instance.latency
        await asyncio.sleep((latency.bulkMs if operation.is_bulk else latency.singleMs) / 1000)
        return operation.run(call)

    async def _call(self, request: web.Request, ids: Mapping[str, str]) -> Call:
        connection = request.transport and request.transport.get_extra_info("ssl_object")
        return Call(
            **ids,
            headers=request.headers,
            body=await _body(request),
            origin=f"{request.scheme}://{request.host}",
            certificates=self.certificates.of(connection),
        )

    def _check_right(self, request: web.Request, operation: Operation) -> None:
        if operation.right is None:
            return
        self._instance.authorization.check(
            request.headers.get("Authorization"),
            host=request.host,
            path=request.path,
            right=operation.right,
        )

    def _check_api_version(self, request: web.Request, operation: Operation) -> None:
        """I: azure-iot-sdk-csharp#3479; ?: the device API refuses in the same way."""
        options = self._instance.options
        known = options.api_versions if operation.right else options.device_api_versions
        if request.query.get("api-version") not in known:
            message = f"{UNKNOWN_API_VERSION.message}; uri: {request.path_qs}"
            raise Refused(UNKNOWN_API_VERSION, message)

    async def _disturb(
        self, fault: Fault, request: web.Request, seen: Request
    ) -> web.StreamResponse:
        await asyncio.sleep(fault.do.get("delayMs", 0) / 1000)
        return await self._endings[fault.ending](fault, request, seen)

    @property
    def _endings(self) -> Mapping[str, Ending]:
        return {
            "": self._end_well,
            "answer": self._answer_instead,
            "resetBefore": self._reset_before,
            "resetAfterCommit": self._reset_after_commit,
            "halfAnswer": self._answer_half,
            "stall": self._stall,
        }

    async def _end_well(self, _: Fault, request: web.Request, seen: Request) -> web.StreamResponse:
        return self._send(seen, await self._operate(request, seen))

    async def _answer_instead(
        self, fault: Fault, _: web.Request, seen: Request
    ) -> web.StreamResponse:
        return self._send(seen, faulty_reply(fault.do, self._instance.options.clock()))

    async def _reset_before(
        self, _: Fault, request: web.Request, __: Request
    ) -> web.StreamResponse:
        return reset(request)

    async def _reset_after_commit(
        self, _: Fault, request: web.Request, seen: Request
    ) -> web.StreamResponse:
        await self._operate(request, seen)
        return reset(request)

    async def _answer_half(
        self, _: Fault, request: web.Request, seen: Request
    ) -> web.StreamResponse:
        return await send_half(request, await self._operate(request, seen))

    async def _stall(self, _: Fault, request: web.Request, __: Request) -> web.StreamResponse:
        await self._released.wait()
        return reset(request)


async def _body(request: web.Request) -> bytes:
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise Refused(TOO_LARGE) from error
