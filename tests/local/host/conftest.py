"""Toy apps, each in a directory of its own, and hosts that serve them on free ports."""

import asyncio
import contextlib
import itertools
import textwrap
from pathlib import Path

import httpx
import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage

from local.host import Host
from local.servicebus import Broker, BrokerOptions, QueueOptions
from local.threads import in_thread
from tests.local.host import app_files
from tests.local.host.app_files import PREAMBLE

ECHO = """
@app.route(route="echo/{id?}")
async def echo(req: func.HttpRequest) -> func.HttpResponse:
    seen = {
        "method": req.method,
        "url": req.url,
        "headers": dict(req.headers),
        "params": dict(req.params),
        "route": dict(req.route_params),
        "body": req.get_body().decode("latin-1"),
    }
    return func.HttpResponse(json.dumps(seen), mimetype="application/json")
"""


# What the toy apps with queues listen to: messages are locked for long, for a moment, for long.
QUEUES = {
    "work": QueueOptions(max_delivery_count=3),
    "brief": QueueOptions(lock_duration=1),
    "text": QueueOptions(),
}


class Served:
    """A running host with a client for it."""

    def __init__(self, app_dir: Path, host: Host, client: httpx.AsyncClient) -> None:
        self.app_dir = app_dir
        self.host = host
        self.client = client

    @property
    def app(self):
        """The module of the toy app, with what its functions keep there."""
        return app_files.module_in(self.app_dir)

    async def raw(self, request: bytes, *, until: bytes | None = None) -> bytes:
        """What the host sends for these bytes, to the end of the connection or `until` this."""
        address, port = self.host.url.removeprefix("http://").rsplit(":", 1)
        reader, writer = await asyncio.open_connection(address, int(port))
        writer.write(request)
        reply = await (reader.readuntil(until) if until else reader.read())
        writer.close()
        await writer.wait_closed()
        return reply


@pytest.fixture(autouse=True)
def no_namespace(monkeypatch):
    """The environment of whoever runs the tests names no namespace."""
    prefixes = ("", "AzureWebJobs", "ConnectionStrings__", "ConnectionStrings__AzureWebJobs")
    for prefix in prefixes:
        for suffix in ("", "__fullyQualifiedNamespace", "__credential", "__clientId"):
            monkeypatch.delenv(f"{prefix}ServiceBus{suffix}", raising=False)


@pytest.fixture
def write_app(tmp_path):
    """Writes a function_app.py and returns its directory; host_json None: none."""
    numbers = itertools.count()

    def write(source, *, preamble=PREAMBLE, host_json='{"version": "2.0"}') -> Path:
        directory = tmp_path / f"app-{next(numbers)}"
        directory.mkdir()
        app_files.write(directory, preamble + textwrap.dedent(source), host_json=host_json)
        return directory

    return write


@pytest.fixture
async def serve(write_app):
    """Serves the toy app of a given source until the test ends."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(source, *, host_json='{"version": "2.0"}', preamble=PREAMBLE, **options):
            app_dir = write_app(source, preamble=preamble, host_json=host_json)
            host = Host(app_dir, port=0, **options)
            stack.push_async_callback(host.stop)
            await host.start()
            client = await stack.enter_async_context(httpx.AsyncClient(base_url=host.url))
            return Served(app_dir, host, client)

        yield start


@pytest.fixture
async def echo(serve):
    """A host whose one function answers with what it was given."""
    return await serve(ECHO)


class Sender:
    """Sends to a broker, through one sender of the SDK for each queue."""

    def __init__(self, client: ServiceBusClient) -> None:
        self._client = client
        self._senders = {}

    def __call__(self, queue, body=b"a body", **properties):
        if queue not in self._senders:
            self._senders[queue] = self._client.get_queue_sender(queue)
        self._senders[queue].send_messages(ServiceBusMessage(body, **properties))


@pytest.fixture(scope="session")
def one_broker():
    """One broker for the whole session; take `broker`, which is found empty."""
    with in_thread(Broker(BrokerOptions(port=0, queues=QUEUES))) as running:
        yield running


@pytest.fixture
def broker(one_broker, monkeypatch):
    """A broker with empty queues, which the setting ServiceBus names."""
    monkeypatch.setenv("ServiceBus", one_broker.connection_string)
    # Now, not afterwards: then the host of the test before may still have settled something.
    one_broker.reset()
    return one_broker


@pytest.fixture(scope="session")
def send(one_broker):
    """Sends a message to a queue of the broker: its name, the body, properties by keyword."""
    with ServiceBusClient.from_connection_string(
        one_broker.connection_string, retry_backoff_factor=0.1
    ) as client:
        yield Sender(client)


@pytest.fixture
def until():
    """Waits until something holds; TimeoutError if it takes too long."""

    async def wait(holds, *, within=15):
        async with asyncio.timeout(within):
            # What it waits for happens in other threads and processes, without an event.
            while not holds():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    return wait
