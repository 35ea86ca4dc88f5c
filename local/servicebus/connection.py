"""A connection (part 2, 2.4): protocol headers, frames, heartbeats."""

import asyncio
import logging
import struct
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

from local.servicebus.amqp import frames, performatives
from local.servicebus.amqp.errors import AmqpError, Condition
from local.servicebus.amqp.performatives import Begin, Close, End, Open, SaslInit
from local.servicebus.namespace import Namespace
from local.servicebus.outbox import Outbox
from local.servicebus.session import Session

_LOG = logging.getLogger(__name__)
_CONTAINER = "servicebus-stand-in"
_HEADER_SIZE = 8
_MAX_FRAME_SIZE = 65536
_BUFFER_SIZE = 32768
_SIZE = struct.Struct(">I").unpack_from
_MIN_FRAME_SIZE = 512  # that every peer must take (2.4.1)
_CHANNEL_MAX = 255
_MECHANISMS = ("MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL")
_CLOSED_WITHIN = 5.0  # seconds in which a client may ask or read why it is not served


class Register(Protocol):
    """Who keeps count of connections, and says what one is told instead of being served."""

    def joined(self, connection: "Connection") -> AmqpError | None: ...

    def left(self, connection: "Connection") -> None: ...


class Connection(asyncio.BufferedProtocol):
    """One client's connection."""

    transport: asyncio.Transport

    def __init__(self, namespace: Namespace, register: Register) -> None:
        self.namespace = namespace
        self.sessions: dict[int, Session] = {}
        self.max_frame_size = _MIN_FRAME_SIZE
        self._register = register
        self._refusal: AmqpError | None = None
        self._loop = asyncio.get_running_loop()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._is_alive = True  # since the last look
        self._expects_header = True
        # asyncio's own would be 256 KiB for each read, which costs as much as the rest of it.
        self._buffer = memoryview(bytearray(_BUFFER_SIZE))
        self._unread = b""

    # What happens to it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a stream is needed")
        self.transport = transport
        self._outbox = Outbox(transport, self.namespace.options.latency, self._supply)
        self.write = self._outbox.write
        self._refusal = self._register.joined(self)
        if self._refusal:
            self._end_soon()
        self._expect_life()

    def connection_lost(self, _: Exception | None) -> None:
        for handle in self._timers.values():
            handle.cancel()
        for session in self.sessions.values():
            session.close()
        self.sessions.clear()
        self._register.left(self)

    def pause_writing(self) -> None:
        self._outbox.pause()

    def resume_writing(self) -> None:
        self._outbox.resume()

    def get_buffer(self, _: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        data = bytes(self._buffer[:count])
        self._is_alive = True
        # What has been asked at once is answered by one system call.
        self._outbox.is_gathering = True
        try:
            self._read(self._unread + data if self._unread else data)
        except AmqpError as error:
            self.namespace.statistics.malformed += 1
            _LOG.info("connection ended: %s: %s", error.condition, error.description)
            self.close(error)
        self._outbox.flush()

    # What the broker does with it

    @property
    def can_write(self) -> bool:
        """Whether the client keeps up with what it is sent."""
        return self._outbox.can_take

    def close(self, error: AmqpError | None = None) -> None:
        """Says goodbye, and why."""
        if not self.transport.is_closing():
            self.write(frames.close(error))
            self._outbox.flush(at_once=True)
            self.transport.close()
            self._end_soon()

    def silence(self, silent: bool) -> None:
        """While silent it neither reads nor writes, as if the network were gone."""
        self._outbox.is_silent = silent
        if silent:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()
            self._outbox.flush(at_once=True)

    # Reading

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
            # The header that would have done is the answer to any other (2.2).
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
        # Any mechanism will do: what is checked is the token that comes to $cbs.
        self.write(frames.sasl_ok())
        self._expects_header = True

    def _open(self, _: int, asked: Open) -> None:
        wanted = asked.max_frame_size or _MAX_FRAME_SIZE
        self.max_frame_size = max(_MIN_FRAME_SIZE, min(wanted, _MAX_FRAME_SIZE))
        idle = int(self.namespace.options.idle_time_out * 1000)
        self.write(frames.open_(_CONTAINER, _MAX_FRAME_SIZE, _CHANNEL_MAX, idle))
        if self._refusal:
            self.close(self._refusal)
        elif asked.idle_time_out and "beat" not in self._timers:
            self._beat(asked.idle_time_out / 2000)

    def _begin(self, channel: int, begin: Begin) -> None:
        if channel in self.sessions or channel > _CHANNEL_MAX:
            raise AmqpError(Condition.FRAMING_ERROR, f"channel {channel} cannot be begun")
        self.sessions[channel] = Session(self, channel, begin)

    def _end(self, channel: int, _: End) -> None:
        session = self.sessions.pop(channel, None)
        if session:
            session.close()
            self.write(frames.end(channel))

    def _close(self, _: int, __: Close) -> None:
        self.close()

    # Life

    def _supply(self) -> None:
        for session in list(self.sessions.values()):
            session.supply()

    def _beat(self, period: float) -> None:
        self.write(frames.EMPTY)
        self._timers["beat"] = self._loop.call_later(period, self._beat, period)

    def _expect_life(self) -> None:
        # What is announced is half of what is granted, as 2.4.5 advises.
        period = 2 * self.namespace.options.idle_time_out
        self._timers["life"] = self._loop.call_later(period, self._look_for_life)

    def _look_for_life(self) -> None:
        if self._is_alive:
            self._is_alive = False
            self._expect_life()
        else:
            text = "The connection was inactive for more than the allowed time."
            self.close(AmqpError(Condition.CONNECTION_FORCED, text))

    def _end_soon(self) -> None:
        self._timers["end"] = self._loop.call_later(_CLOSED_WITHIN, self.transport.abort)

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
        raise AmqpError(Condition.FRAMING_ERROR, f"a frame of {size} bytes")
    return size
