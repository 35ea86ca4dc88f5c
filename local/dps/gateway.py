"""HTTP in front of the APIs: api-version, authorization, quota, latency and faults."""

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import web
from multidict import CIMultiDict

from local.dps.control import Control, ControlRequest
from local.dps.errors import BODY_TOO_LARGE, UNKNOWN_API_VERSION, ApiError, error_body
from local.dps.faults import Fault, create_faulty_response
from local.dps.instance import Instance
from local.dps.operations import Call, Operation, Response
from local.dps.request_log import LoggedRequest
from local.dps.tls import ClientCertificates

# Recorded: every response has these headers, and none has ETag or x-ms-max-item-count.
EVERY_RESPONSE: Final = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}
JSON: Final = "application/json; charset=utf-8"

_LINGER_ZERO = struct.pack("ii", 1, 0)  # SO_LINGER on with 0 seconds: close() sends a reset

_Effect = Callable[[Fault, web.Request, LoggedRequest], Awaitable[web.StreamResponse]]


class Gateway:
    """The handler of every HTTP request."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self.certificates = ClientCertificates()
        self._released = asyncio.Event()
        self.control = Control(instance, self.release)
        self._effects: Mapping[str, _Effect] = {
            "": self._respond_normally,
            "respond": self._respond_with_fault,
            "resetBefore": self._reset_before,
            "resetAfterCommit": self._reset_after_commit,
            "halfAnswer": self._respond_half,
            "stall": self._stall,
        }

    def release(self) -> None:
        """Ends the requests that a fault stalls."""
        self._released.set()
        self._released = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answers a request; the aiohttp handler for all paths."""
        if request.path.startswith("/_"):
            control = ControlRequest(request.headers, request.query, await request.read())
            return create_response(self.control.run(request.method, request.path, control))
        log = self._instance.request_log
        request_id = request.headers.get("x-ms-client-request-id")
        logged = log.add(request.method, request.path, request.transport, request_id=request_id)
        fault = self._instance.faults.find(request.method, request.path)
        if fault is None:
            return self._respond(logged, await self._run(request, logged))
        log.count_fault()
        await asyncio.sleep(fault.do.get("delayMs", 0) / 1000)
        return await self._effects[fault.effect](fault, request, logged)

    def _respond(self, logged: LoggedRequest, response: Response) -> web.Response:
        self._instance.request_log.set_status(logged, response.status)
        return create_response(response)

    async def _run(self, request: web.Request, logged: LoggedRequest) -> Response:
        """Runs the operation and returns its response, which may be that of an error."""
        try:
            return await self._run_operation(request, logged)
        except ApiError as error:
            body = error_body(error.type, error.message, self._instance.options.clock())
            return Response(error.type.status, body, error.headers)

    async def _run_operation(self, request: web.Request, logged: LoggedRequest) -> Response:
        instance = self._instance
        operation, parameters = instance.router.find(request.method, request.rel_url.raw_path)
        instance.request_log.set_operation(logged, operation.name)
        self._check_api_version(request, operation)
        self._check_right(request, operation)
        call = await self._read_call(request, parameters)
        items = operation.count_items(call)
        instance.admit(operation, call, items)
        instance.request_log.count_items(items)
        latency = instance.latency
        await asyncio.sleep((latency.bulkMs if operation.is_bulk else latency.singleMs) / 1000)
        instance.request_log.set_running(logged)
        return operation.run(call)

    async def _read_call(self, request: web.Request, parameters: Mapping[str, str]) -> Call:
        connection = request.transport and request.transport.get_extra_info("ssl_object")
        return Call(
            **parameters,
            api_version=request.query["api-version"],
            headers=request.headers,
            body=await _read_body(request),
            origin=f"{request.scheme}://{request.host}",
            certificates=self.certificates.find_chain(connection),
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
        """
        Raises ApiError 400 for an unknown api-version.

        Reported: azure-iot-sdk-csharp#3479. Assumed: the same for the device API.
        """
        options = self._instance.options
        known = options.api_versions if operation.right else options.device_api_versions
        if request.query.get("api-version") not in known:
            message = f"{UNKNOWN_API_VERSION.message}; uri: {request.path_qs}"
            raise ApiError(UNKNOWN_API_VERSION, message)

    async def _respond_normally(
        self, _: Fault, request: web.Request, logged: LoggedRequest
    ) -> web.StreamResponse:
        return self._respond(logged, await self._run(request, logged))

    async def _respond_with_fault(
        self, fault: Fault, _: web.Request, logged: LoggedRequest
    ) -> web.StreamResponse:
        now = self._instance.options.clock()
        return self._respond(logged, create_faulty_response(fault.do, now))

    async def _reset_before(
        self, _: Fault, request: web.Request, __: LoggedRequest
    ) -> web.StreamResponse:
        return reset_connection(request)

    async def _reset_after_commit(
        self, _: Fault, request: web.Request, logged: LoggedRequest
    ) -> web.StreamResponse:
        await self._run(request, logged)
        return reset_connection(request)

    async def _respond_half(
        self, _: Fault, request: web.Request, logged: LoggedRequest
    ) -> web.StreamResponse:
        return await send_half(request, await self._run(request, logged))

    async def _stall(self, _: Fault, request: web.Request, __: LoggedRequest) -> web.StreamResponse:
        await self._released.wait()
        return reset_connection(request)


async def _read_body(request: web.Request) -> bytes:
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise ApiError(BODY_TOO_LARGE) from error


def create_response(response: Response) -> web.Response:
    """Returns the response as aiohttp sends it. Recorded: the body is chunked."""
    headers = CIMultiDict(EVERY_RESPONSE)
    headers.update(response.headers)
    if response.body is None:
        return web.Response(status=response.status, headers=headers)
    headers.setdefault("Content-Type", JSON)
    created = web.Response(status=response.status, headers=headers, body=_encode(response.body))
    created.enable_chunked_encoding()
    return created


def _encode(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    return json.dumps(body, separators=(",", ":")).encode()


def reset_connection(request: web.Request) -> web.Response:
    """Resets the TCP connection; the returned response, which aiohttp requires, is never sent."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        request.transport.abort()
    return web.Response()


async def send_half(request: web.Request, response: Response) -> web.StreamResponse:
    """Sends the headers, with the full Content-Length, and half of the body; then disconnects."""
    body = b"" if response.body is None else _encode(response.body)
    headers = CIMultiDict({**EVERY_RESPONSE, "Content-Type": JSON})
    headers.update(response.headers)
    half = web.StreamResponse(status=response.status, headers=headers)
    half.content_length = max(len(body), 2)
    await half.prepare(request)
    await half.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return half
