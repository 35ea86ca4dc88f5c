"""Output of a connection: combined writes, added latency, and limits for slow clients."""

import asyncio
from collections import deque
from collections.abc import Callable

# Unsent bytes above which no more messages are sent, and above which requests are not read.
_SEND_LIMIT = 1024 * 1024
_READ_LIMIT = 8 * _SEND_LIMIT


class WriteBuffer:
    """
    A buffer of output to a transport, which is sent `latency` seconds later.

    `on_writable` is called when the buffer falls below its limit again.
    """

    def __init__(
        self, transport: asyncio.Transport, latency: float, on_writable: Callable[[], None]
    ) -> None:
        self.is_silent = False  # while set, nothing is sent
        self.is_collecting = False  # until the next flush
        self._transport = transport
        self._latency = latency
        self._on_writable = on_writable
        self._loop = asyncio.get_running_loop()
        self._collected: list[bytes] = []
        self._delayed: deque[bytes] = deque()
        self._size = 0
        self._is_paused = False
        transport.set_write_buffer_limits(high=_SEND_LIMIT)

    @property
    def can_write(self) -> bool:
        """Whether the client keeps up with reading."""
        return not self._is_paused and self._size < _SEND_LIMIT

    def write(self, data: bytes) -> None:
        """Sends `data`, in one write with everything until the event loop's next iteration."""
        self._collected.append(data)
        self._size += len(data)
        if not self.is_collecting:
            self.is_collecting = True
            self._loop.call_soon(self.flush)

    def flush(self, *, immediately: bool = False) -> None:
        """Sends what was collected, after the latency unless `immediately`."""
        self.is_collecting = False
        is_delayed = self._latency > 0 and not immediately
        if self._collected:
            self._delayed.append(b"".join(self._collected))
            self._collected.clear()
            if is_delayed:
                self._loop.call_later(self._latency, self._send)
        while self._delayed and not is_delayed and not self.is_silent:
            self._send()

    def pause(self) -> None:
        """Stops sending messages: the transport's buffer is full."""
        self._is_paused = True

    def resume(self) -> None:
        """Continues sending messages."""
        self._is_paused = False
        if not self.is_silent:
            self._transport.resume_reading()
            self._on_writable()

    def _send(self) -> None:
        if not self._delayed or self.is_silent:
            return
        data = self._delayed.popleft()
        was_full = not self.can_write
        self._size -= len(data)
        self._transport.write(data)
        if self._transport.get_write_buffer_size() + self._size > _READ_LIMIT:
            self._transport.pause_reading()
        elif was_full:
            self._on_writable()
