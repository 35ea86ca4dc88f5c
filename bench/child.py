"""
One service as a process of its own: python bench/child.py dps|broker|host|stub OPTIONS, as JSON.

It prints where it is, as a line of JSON, then how it stands for each line it reads; it ends when
there is nothing more to read, so that it outlives nobody.
"""

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from local.dps import DpsStandIn, Options
from local.foreground import Service, exit_code
from local.host import Host
from local.servicebus import Broker, BrokerOptions

Made = tuple[Service, Callable[[], dict[str, Any]], Callable[[], dict[str, Any]]]
"""A service, where it is once it runs, and how it stands."""


PAGE = os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    """Serves until its standard input ends."""
    kind, options = sys.argv[1], json.loads(sys.argv[2])
    made = {"dps": dps, "broker": broker, "host": host, "stub": stub}[kind](options)
    return exit_code(lambda: asyncio.run(_serve(made)))


def dps(options: Mapping[str, Any]) -> Made:
    """The stand-in; the options are the milliseconds its calls take."""
    made = DpsStandIn(Options(port=0, tls_port=None, **options))
    return made, lambda: {"url": made.url, "connection_string": made.connection_string}, dict


def broker(options: Mapping[str, Any]) -> Made:
    """The broker; how the queues stand that `queues` names, and what it has done."""
    queues = options["queues"]
    made = Broker(BrokerOptions(port=0, latency=options["latency"], max_stored_bytes=2**30))
    for queue in queues:
        made.add_queue(queue)

    def look() -> dict[str, Any]:
        counts = {queue: made.queue(queue) for queue in queues}
        return {
            "dead_lettered": sum(count.dead_lettered for count in counts.values()),
            "locked": sum(count.locked for count in counts.values()),
            "active": {queue: count.active for queue, count in counts.items()},
            "completed": made.statistics.completed,
            "abandoned": made.statistics.abandoned,
            "connections": made.statistics.connections,
        }

    return made, lambda: {"connection_string": made.connection_string}, look


def host(options: Mapping[str, Any]) -> Made:
    """An app on the local host."""
    made = Host(Path(options["app"]), port=0, receivers=options["receivers"])
    return made, lambda: {"url": made.url}, dict


class Stub:
    """The least that a server can do: the same answer for whatever is asked."""

    def __init__(self, answer: object) -> None:
        self._answer = json.dumps(answer).encode()
        self.port = 0

    async def start(self) -> None:
        """Listens."""
        self._runner = web.ServerRunner(web.Server(self._reply))
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Does not listen any more."""
        await self._runner.cleanup()

    async def _reply(self, request: web.BaseRequest) -> web.Response:
        await request.read()
        return web.Response(body=self._answer, content_type="application/json")


def stub(options: Mapping[str, Any]) -> Made:
    """A server that says the same to everyone."""
    made = Stub(options["answer"])
    return made, lambda: {"address": f"127.0.0.1:{made.port}"}, dict


async def _serve(made: Made) -> None:
    service, where, look = made
    await service.start()
    try:
        _tell(where())
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while await reader.readline():
            _tell(look() | _process())
    finally:
        await service.stop()


def _process() -> dict[str, Any]:
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "resident": resident * PAGE,
        "cpu": time.process_time(),
        "tasks": len(asyncio.all_tasks()),
        "sockets": sum(map(_is_socket, Path("/proc/self/fd").iterdir())),
    }


def _is_socket(descriptor: Path) -> bool:
    try:
        return descriptor.readlink().name.startswith("socket:")
    except FileNotFoundError:
        return False


def _tell(what: Mapping[str, Any]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    sys.exit(main())
