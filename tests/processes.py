"""Child processes whose output is searched for secrets, and reserved ports."""

import asyncio
import contextlib
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import IO, Any

from tests import secret_factory


class Process:
    """A process of asyncio whose output is added to what is searched for secrets."""

    def __init__(self, process: asyncio.subprocess.Process, log: IO[bytes]) -> None:
        self._process = process
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._process, name)

    async def communicate(self) -> tuple[bytes, bytes]:
        """Waits until it exits; returns the rest of its standard output, and its standard error."""
        out, _ = await self._process.communicate()
        self._log.seek(0)
        output = (out, self._log.read())
        secret_factory.outputs += [text.decode(errors="replace") for text in output]
        return output


@contextlib.asynccontextmanager
async def run_modules() -> AsyncIterator[Callable[..., Awaitable[Process]]]:
    """
    Yields a function that starts `python -m` with a module, arguments and environment variables.

    Processes that still run at the end are killed.
    """
    async with contextlib.AsyncExitStack() as stack:

        async def start(module: str, *arguments: object, **variables: str) -> Process:
            # A file, because a process blocks on a pipe that is full.
            log = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  the stack closes it
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", module, *map(str, arguments)),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=os.environ | variables,  # noqa: TID251  a process inherits it
            )
            watched = Process(process, log)
            stack.push_async_callback(_kill, watched)
            return watched

        yield start


async def _kill(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.communicate()


@contextlib.contextmanager
def reserve_port() -> Iterator[int]:
    """Binds a free port, so that no other process gets it; SO_REUSEADDR allows listening on it."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]
