"""Runs a server on an event loop of its own, so that code without one can use it."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Thread
from typing import Protocol, TypeVar


class Server(Protocol):
    """What can be run in a thread."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


ServerT = TypeVar("ServerT", bound=Server)


@contextmanager
def in_thread(server: ServerT, *, stop_within: float = 10.0) -> Iterator[ServerT]:
    """Yields `server` once it runs; its errors of start and stop raise here.

    TimeoutError if it does not stop within `stop_within` seconds.
    """
    started: Future[Callable[[], None]] = Future()
    ended: Future[None] = Future()
    life = _life(server, started, stop_within)
    # A daemon: a forgotten server must not keep the interpreter from ending.
    thread = Thread(target=_run, args=(life, ended), name=type(server).__name__, daemon=True)
    thread.start()
    end = started.result()
    try:
        yield server
    finally:
        end()
        ended.result(stop_within + 1)
        thread.join(1)


async def _life(server: Server, started: Future[Callable[[], None]], stop_within: float) -> None:
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    try:
        await server.start()
    except BaseException as error:  # noqa: BLE001 - it belongs to the caller's thread
        started.set_exception(error)
        return
    started.set_result(lambda: _signal(loop, ending))
    await ending.wait()
    await asyncio.wait_for(server.stop(), stop_within)


def _signal(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    loop.call_soon_threadsafe(event.set)


def _run(life: Coroutine[None, None, None], ended: Future[None]) -> None:
    try:
        asyncio.run(life)
    except BaseException as error:  # noqa: BLE001 - it belongs to the caller's thread
        ended.set_exception(error)
    else:
        ended.set_result(None)
