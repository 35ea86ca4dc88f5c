"""Replies on the wire: whole ones, half ones, and connections reset."""

import json
import socket
import struct
from typing import Any, Final

from aiohttp import web
from multidict import CIMultiDict

from local.dps.replies import Reply
from local.dps.rules import EVERY_REPLY, JSON

RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time at all


def response(reply: Reply) -> web.Response:
    """A reply as aiohttp sends it, chunked as recorded."""
    headers = CIMultiDict(EVERY_REPLY)
    headers.update(reply.headers)
    if reply.body is None:
        return web.Response(status=reply.status, headers=headers)
    headers.setdefault("Content-Type", JSON)
    whole = web.Response(status=reply.status, headers=headers, body=_bytes(reply.body))
    whole.enable_chunked_encoding()  # R
    return whole


def _bytes(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    return json.dumps(body, separators=(",", ":")).encode()


def reset(request: web.Request) -> web.Response:
    """Resets the connection; what is returned goes nowhere."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        request.transport.abort()
    return web.Response()


async def send_half(request: web.Request, reply: Reply) -> web.StreamResponse:
    """Sends the head and half of the body, then closes: the length tells that some is missing."""
    body = b"" if reply.body is None else _bytes(reply.body)
    headers = CIMultiDict({**EVERY_REPLY, "Content-Type": JSON})
    headers.update(reply.headers)
    half = web.StreamResponse(status=reply.status, headers=headers)
    half.content_length = max(len(body), 2)
    await half.prepare(request)
    await half.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return half
