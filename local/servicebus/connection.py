"""Connections (AMQP 1.0, part 2, 2.4): protocol headers, frames and heartbeats."""

import asyncio
import contextlib
import logging
import struct
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from local.servicebus.amqp import frames, performatives
from local.servicebus.amqp.errors import AmqpError, Condition
from local.servicebus.amqp.performatives import Begin, Close, End, Open, SaslInit
from local.servicebus.namespace import Namespace, NodeKind
from local.servicebus.session import Session
from local.servicebus.write_buffer import WriteBuffer

_LOG = logging.getLogger(__name__)
_CONTAINER_ID = "servicebus-stand-in"
_HEADER_SIZE = 8
_MAX_FRAME_SIZE = 65536
_MIN_MAX_FRAME_SIZE = 512  # every peer must accept frames of this size (2.4.1)
_READ_BUFFER_SIZE = 32768
_SIZE = struct.Struct(">I").unpack_from
_CHANNEL_MAX = 255
_MECHANISMS = ("MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL")
_CLOSE_TIMEOUT = 5.0  # seconds until a connection that is closing or refused is aborted


class Connections:
    """The open connections of a broker, at most as many as its options allow."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._members: set[Connection] = set()
        self._is_silent = False
        self._closed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._members)

    def create(self) -> "Connection":
        """Returns a connection that is not open yet; a protocol factory for asyncio."""
        return Connection(self._namespace, self)

    def add(self, connection: "Connection") -> AmqpError | None:
        """Adds an open connection; returns the error to close it with if there are too many."""
        self._members.add(connection)
        connection.silence(self._is_silent)
        statistics = self._namespace.statistics
        limit = self._namespace.options.max_connections
        statistics.connections_opened += 1
        if len(self._members) <= limit:
            return None
        statistics.connections_refused += 1
        text = f"There are {limit} connections, the limit; close some, or raise max_connections."
        return AmqpError(Condition.RESOURCE_LIMIT_EXCEEDED, text)

    def remove(self, connection: "Connection") -> None:
        """Removes a connection that was lost."""
        self._members.discard(connection)
        self._closed.set()

    async def wait_closed(self, timeout: float) -> bool:  # noqa: ASYNC109 - the result says if it passed
        """Returns whether all connections are closed within `timeout` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self._members:
                    self._closed.clear()
                    await self._closed.wait()
        return not self._members

    def detach_all(self, error: AmqpError) -> None:
        """Detaches every link to a queue."""
        queue_links = [
            (session, link)
            for connection in self._members
            for session in connection.sessions.values()
            for link in session.links.values()
            if link.node.kind is NodeKind.QUEUE
        ]
        for session, link in queue_links:
            session.detach(link, error)

    def close_all(self, error: AmqpError) -> None:
        """Closes every connection with an error."""
        for connection in list(self._members):
            connection.close(error)

    def drop_all(self) -> None:
        """Aborts every connection, without a close frame."""
        for connection in list(self._members):
            connection.transport.abort()

    def silence(self, is_silent: bool) -> None:
        """Stops or resumes reading and writing on all connections, also on later ones."""
        self._is_silent = is_silent
        for connection in list(self._members):
            connection.silence(is_silent)


class Connection(asyncio.BufferedProtocol):
    """A client's connection."""

    transport: asyncio.Transport

    def __init__(self, namespace: Namespace, connections: Connections) -> None:
        self.namespace = namespace
        self.sessions: dict[int, Session] = {}
        self.max_frame_size = _MIN_MAX_FRAME_SIZE
        self._connections = connections
        self._refusal: AmqpError | None = None
        self._loop = asyncio.get_running_loop()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._is_alive = True  # has sent something since the last idle check
        self._expects_header = True
        # asyncio allocates 256 KiB for each read, which doubles the cost of reading.
        self._buffer = memoryview(bytearray(_READ_BUFFER_SIZE))
        self._unread = b""

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("the transport must be a stream")
        self.transport = transport
        self._output = WriteBuffer(transport, self.namespace.options.latency, self._send_available)
        self.write = self._output.write
        self._refusal = self._connections.add(self)
        if self._refusal:
            self._abort_later()
        self._schedule_idle_check()

    def connection_lost(self, _: Exception | None) -> None:
        for handle in self._timers.values():
            handle.cancel()
        for session in self.sessions.values():
            session.close()
        self.sessions.clear()
        self._connections.remove(self)

    def pause_writing(self) -> None:
        self._output.pause()

    def resume_writing(self) -> None:
        self._output.resume()

    def get_buffer(self, _: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        data = bytes(self._buffer[:count])
        self._is_alive = True
        # Everything that was read at once is answered by one system call.
        self._output.is_collecting = True
        try:
            self._read(self._unread + data if self._unread else data)
        except AmqpError as error:
            self.namespace.statistics.malformed += 1
            _LOG.info("connection closed: %s: %s", error.condition, error.description)
            self.close(error)
        self._output.flush()

    # For sessions and Connections

    @property
    def can_write(self) -> bool:
        """Whether the client keeps up with reading."""
        return self._output.can_write

    def close(self, error: AmqpError | None = None) -> None:
        """Sends a close frame, and closes the transport."""
        if not self.transport.is_closing():
            self.write(frames.close(error))
            self._output.flush(immediately=True)
            self.transport.close()
            self._abort_later()

    def silence(self, is_silent: bool) -> None:
        """Stops or resumes reading and writing."""
        self._output.is_silent = is_silent
        if is_silent:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()
            self._output.flush(immediately=True)

    # Headers and frames

    def _read(self, data: bytes) -> None:
        start = 0
        while len(data) - start >= _HEADER_SIZE and not self.transport.is_closing():
            if self._expects_header:
                size = _HEADER_SIZE
                self._handle_header(data[start : start + size])
            else:
                size = _frame_size(data, start)
                if len(data) - start < size:
                    break
                self._handle_frame(data[start : start + size])
            start += size
        self._unread = data[start:]

    def _handle_header(self, header: bytes) -> None:
        self._expects_header = False
        if header == frames.SASL_HEADER:
            self.write(header + frames.sasl_mechanisms(*_MECHANISMS))
        elif header == frames.HEADER:
            self.write(header)
        else:
            # An unsupported header is answered with a supported one (2.2).
            self.transport.write(frames.SASL_HEADER)
            self.transport.close()

    def _handle_frame(self, data: bytes) -> None:
        frame = performatives.read(data)
        if frame is None:
            return
        handler = self._HANDLERS.get(type(frame.performative))
        if handler:
            handler(self, frame.channel, frame.performative)
        elif frame.channel in self.sessions:
            self.sessions[frame.channel].handle(frame.performative, frame.payload)

    def _sasl_init(self, _: int, __: SaslInit) -> None:
        # Every mechanism succeeds: clients authenticate by the token that they put to $cbs.
        self.write(frames.sasl_ok())
        self._expects_header = True

    def _open(self, _: int, request: Open) -> None:
        max_frame_size = request.max_frame_size or _MAX_FRAME_SIZE
        self.max_frame_size = max(_MIN_MAX_FRAME_SIZE, min(max_frame_size, _MAX_FRAME_SIZE))
        idle_time_out = int(self.namespace.options.idle_time_out * 1000)
        self.write(frames.open_(_CONTAINER_ID, _MAX_FRAME_SIZE, _CHANNEL_MAX, idle_time_out))
        if self._refusal:
            self.close(self._refusal)
        elif request.idle_time_out and "heartbeat" not in self._timers:
            self._send_heartbeat(request.idle_time_out / 2000)

    def _begin(self, channel: int, begin: Begin) -> None:
        if channel in self.sessions or channel > _CHANNEL_MAX:
            text = f"Channel {channel} is in use or above {_CHANNEL_MAX}."
            raise AmqpError(Condition.FRAMING_ERROR, text)
        self.sessions[channel] = Session(self, channel, begin)

    def _end(self, channel: int, _: End) -> None:
        session = self.sessions.pop(channel, None)
        if session:
            session.close()
            self.write(frames.end(channel))

    def _close(self, _: int, __: Close) -> None:
        self.close()

    def _send_available(self) -> None:
        for session in list(self.sessions.values()):
            session.send_available()

    # Heartbeats and time-outs

    def _send_heartbeat(self, period: float) -> None:
        self.write(frames.EMPTY)
        self._timers["heartbeat"] = self._loop.call_later(period, self._send_heartbeat, period)

    def _schedule_idle_check(self) -> None:
        # The announced time-out is half of the actual one, as 2.4.5 recommends.
        period = 2 * self.namespace.options.idle_time_out
        self._timers["idle"] = self._loop.call_later(period, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self._is_alive:
            self._is_alive = False
            self._schedule_idle_check()
        else:
            text = "The connection was inactive for more than the allowed time."
            self.close(AmqpError(Condition.CONNECTION_FORCED, text))

    def _abort_later(self) -> None:
        self._timers["abort"] = self._loop.call_later(_CLOSE_TIMEOUT, self.transport.abort)

    _HANDLERS: ClassVar[Mapping[type, Callable[["Connection", int, Any], None]]] = {
        SaslInit: _sasl_init,
        Open: _open,
        Begin: _begin,
        End: _end,
        Close: _close,
    }


def _frame_size(data: bytes, start: int) -> int:
    size: int = _SIZE(data, start)[0]
    if not _HEADER_SIZE <= size <= _MAX_FRAME_SIZE:
        text = f"A frame must have {_HEADER_SIZE} to {_MAX_FRAME_SIZE} bytes, not {size}."
        raise AmqpError(Condition.FRAMING_ERROR, text)
    return size
