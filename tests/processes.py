"""Modules of ours as processes of their own, whose words are searched for secrets."""

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import IO, Any

from tests import secret_factory


class Process:
    """A process of asyncio's; what is read of it at its end is kept."""

    def __init__(self, process: asyncio.subprocess.Process, log: IO[bytes]) -> None:
        self._process = process
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._process, name)

    async def communicate(self) -> tuple[bytes, bytes]:
        """What it still had to say, once it has ended."""
        out, _ = await self._process.communicate()
        self._log.seek(0)
        said = (out, self._log.read())
        secret_factory.said += [words.decode(errors="replace") for words in said]
        return said


@contextlib.asynccontextmanager
async def modules_run() -> AsyncIterator[Callable[..., Awaitable[Process]]]:
    """Gives what starts `python -m` a module with arguments and variables; kills what is left."""
    async with contextlib.AsyncExitStack() as started:

        async def start(module: str, *arguments: object, **variables: str) -> Process:
            # A file takes any number of lines; a pipe that nobody reads stops who writes.
            log = started.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  the stack does
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", module, *map(str, arguments)),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=os.environ | variables,  # noqa: TID251  a process inherits it
            )
            watched = Process(process, log)
            started.push_async_callback(_end, watched)
            return watched

        yield start


async def _end(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.communicate()
