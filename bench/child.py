"""
Runs one service as a separate process: python bench/child.py dps|broker|host|stub OPTIONS.

OPTIONS is a JSON object. The process prints its endpoint as one line of JSON, then its state as
another for each line it reads, and exits at the end of its standard input.
"""

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from local.dps import DpsStandIn, Options
from local.foreground import Service, exit_code
from local.host import Host, ListenerOptions
from local.servicebus import Broker, BrokerOptions

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, kw_only=True)
class Served:
    """A service, its endpoint once it runs, and its own counters."""

    service: Service
    endpoint: Callable[[], dict[str, Any]]
    counters: Callable[[], dict[str, Any]] = dict


def main() -> int:
    """Serves until its standard input ends."""
    kind, options = sys.argv[1], json.loads(sys.argv[2])
    served = {"dps": dps, "broker": broker, "host": host, "stub": stub}[kind](options)
    return exit_code(lambda: asyncio.run(_serve(served)))


def dps(options: Mapping[str, Any]) -> Served:
    """Returns the DPS stand-in; the options are the milliseconds that its calls take."""
    stand_in = DpsStandIn(Options(port=0, tls_port=None, **options))
    return Served(
        service=stand_in,
        endpoint=lambda: {
            "url": stand_in.url,
            "connection_string": stand_in.connection_string,
        },
    )


def broker(options: Mapping[str, Any]) -> Served:
    """Returns the Service Bus stand-in with the queues of the option `queues`."""
    queues = options["queues"]
    served = Broker(BrokerOptions(port=0, latency=options["latency"], max_stored_bytes=2**30))
    for queue in queues:
        served.add_queue(queue)

    def read_counters() -> dict[str, Any]:
        counts = {queue: served.queue(queue) for queue in queues}
        return {
            "dead_lettered": sum(count.dead_lettered for count in counts.values()),
            "locked": sum(count.locked for count in counts.values()),
            "active": {queue: count.active for queue, count in counts.items()},
            "completed": served.statistics.completed,
            "abandoned": served.statistics.abandoned,
            "connections": served.statistics.connections,
        }

    return Served(
        service=served,
        endpoint=lambda: {"connection_string": served.connection_string},
        counters=read_counters,
    )


def host(options: Mapping[str, Any]) -> Served:
    """Returns an app on the local host."""
    listener = ListenerOptions(receivers=options["receivers"])
    served = Host(Path(options["app"]), port=0, listener=listener)
    return Served(service=served, endpoint=lambda: {"url": served.url})


class Stub:
    """A minimal HTTP server with one fixed answer."""

    def __init__(self, answer: object) -> None:
        self._answer = json.dumps(answer).encode()
        self.port = 0

    async def start(self) -> None:
        """Starts to listen."""
        self._runner = web.ServerRunner(web.Server(self._reply))
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stops listening."""
        await self._runner.cleanup()

    async def _reply(self, request: web.BaseRequest) -> web.Response:
        await request.read()
        return web.Response(body=self._answer, content_type="application/json")


def stub(options: Mapping[str, Any]) -> Served:
    """Returns a server that answers every request with the option `answer`."""
    served = Stub(options["answer"])
    return Served(service=served, endpoint=lambda: {"address": f"127.0.0.1:{served.port}"})


async def _serve(served: Served) -> None:
    await served.service.start()
    try:
        _print_json(served.endpoint())
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while await reader.readline():
            _print_json(served.counters() | _process_state())
    finally:
        await served.service.stop()


def _process_state() -> dict[str, Any]:
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "resident": resident * PAGE_BYTES,
        "cpu": time.process_time(),
        "tasks": len(asyncio.all_tasks()),
        "sockets": sum(map(_is_socket, Path("/proc/self/fd").iterdir())),
    }


def _is_socket(descriptor: Path) -> bool:
    try:
        return descriptor.readlink().name.startswith("socket:")
    except FileNotFoundError:
        return False


def _print_json(document: Mapping[str, Any]) -> None:
    print(json.dumps(document), flush=True)


if __name__ == "__main__":
    sys.exit(main())
