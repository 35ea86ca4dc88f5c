"""Ctrl-C and SIGTERM while requests are in flight."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def on_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """Calls `stop` at the first Ctrl-C or SIGTERM; the second one cancels the task."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def interrupt(*_: object) -> None:
        for number in _SIGNALS:
            signal.signal(number, cancel)
        loop.call_soon_threadsafe(stop)

    def cancel(*_: object) -> None:
        if task:
            loop.call_soon_threadsafe(task.cancel)

    try:
        for number in _SIGNALS:
            signal.signal(number, interrupt)
    except ValueError:  # not in the main thread: whoever runs this handles Ctrl-C
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
