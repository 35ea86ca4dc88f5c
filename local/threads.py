"""Runs a service in a thread, on its own event loop, for code that has no event loop."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Thread
from typing import TypeVar

from local.foreground import Service

ServiceT = TypeVar("ServiceT", bound=Service)


@contextmanager
def in_thread(service: ServiceT, *, stop_within: float = 10.0) -> Iterator[ServiceT]:
    """
    Starts `service`, yields it, and stops it; errors of start and stop are raised here.

    Raises TimeoutError if the service does not stop within `stop_within` seconds.
    """
    started: Future[Callable[[], None]] = Future()
    ended: Future[None] = Future()
    lifetime = _start_and_stop(service, started, stop_within)
    # A daemon, so that a service that is never stopped does not keep the interpreter from exiting.
    thread = Thread(target=_run, args=(lifetime, ended), name=type(service).__name__, daemon=True)
    thread.start()
    request_stop = started.result()
    try:
        yield service
    finally:
        request_stop()
        ended.result(stop_within + 1)
        thread.join(1)


async def _start_and_stop(
    service: Service, started: Future[Callable[[], None]], stop_within: float
) -> None:
    stop_requested = asyncio.Event()
    loop = asyncio.get_running_loop()
    try:
        await service.start()
    except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
        started.set_exception(error)
        return
    started.set_result(lambda: _set_event(loop, stop_requested))
    await stop_requested.wait()
    await asyncio.wait_for(service.stop(), stop_within)


def _set_event(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    loop.call_soon_threadsafe(event.set)


def _run(lifetime: Coroutine[None, None, None], ended: Future[None]) -> None:
    try:
        asyncio.run(lifetime)
    except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
        ended.set_exception(error)
    else:
        ended.set_result(None)
