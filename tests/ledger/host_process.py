"""The host as a process that can be killed."""

import asyncio
from collections.abc import Awaitable, Callable

from local.stack import ROOT
from tests.processes import Process

_READY_WITHIN = 60

Run = Callable[..., Awaitable[Process]]


class HostProcess:
    """`python -m local.host` with the app, one process after the other."""

    def __init__(self, run: Run, variables: dict[str, str]) -> None:
        self._run = run
        self._variables = variables
        self._process: Process | None = None
        self.kills = 0

    async def start(self) -> None:
        """Returns once it says that it is ready."""
        self._process = process = await self._run(
            "local.host", "--app", ROOT, "--port", 0, **self._variables
        )
        async with asyncio.timeout(_READY_WITHIN):
            while (line := await process.stdout.readline()).strip() != b"ready":
                assert line, "the host has ended"

    async def kill(self) -> None:
        """Ends it with SIGKILL, in the middle of whatever it does."""
        assert self._process
        self.kills += 1
        self._process.kill()
        await self._process.wait()
