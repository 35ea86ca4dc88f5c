"""What a connection has to send: gathered into few writes, delayed, and kept within bounds."""

import asyncio
from collections import deque
from collections.abc import Callable

_LIMIT = 1024 * 1024  # bytes from which on no message is sent until the client has read some
_STOP = 8 * _LIMIT  # and from which on nothing that the client asks is read


class Outbox:
    """Writes to a transport, `latency` seconds late; calls `has_room` when it can take more."""

    def __init__(
        self, transport: asyncio.Transport, latency: float, has_room: Callable[[], None]
    ) -> None:
        self.is_silent = False  # while it is, everything stays here
        self.is_gathering = False  # until the next flush
        self._transport = transport
        self._latency = latency
        self._has_room = has_room
        self._loop = asyncio.get_running_loop()
        self._gathered: list[bytes] = []
        self._delayed: deque[bytes] = deque()
        self._bytes = 0
        self._is_slow = False
        transport.set_write_buffer_limits(high=_LIMIT)

    @property
    def can_take(self) -> bool:
        """Whether the client keeps up with what it is sent."""
        return not self._is_slow and self._bytes < _LIMIT

    def write(self, data: bytes) -> None:
        """Sends `data` together with all that is written before the event loop goes on."""
        self._gathered.append(data)
        self._bytes += len(data)
        if not self.is_gathering:
            self.is_gathering = True
            self._loop.call_soon(self.flush)

    def flush(self, *, at_once: bool = False) -> None:
        """Ends the gathering."""
        self.is_gathering = False
        is_late = self._latency > 0 and not at_once
        if self._gathered:
            self._delayed.append(b"".join(self._gathered))
            self._gathered.clear()
            if is_late:
                self._loop.call_later(self._latency, self._send)
        while self._delayed and not is_late and not self.is_silent:
            self._send()

    def pause(self) -> None:
        """The client does not read."""
        self._is_slow = True

    def resume(self) -> None:
        """The client reads again."""
        self._is_slow = False
        if not self.is_silent:
            self._transport.resume_reading()
            self._has_room()

    def _send(self) -> None:
        if not self._delayed or self.is_silent:
            return
        data = self._delayed.popleft()
        was_full = not self.can_take
        self._bytes -= len(data)
        self._transport.write(data)
        if self._transport.get_write_buffer_size() + self._bytes > _STOP:
            self._transport.pause_reading()
        elif was_full:
            self._has_room()
