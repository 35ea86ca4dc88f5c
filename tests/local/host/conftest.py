"""Fixtures that write toy apps, run them on free ports, and send them messages."""

import asyncio
import contextlib
import itertools
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusSender

from local.host import Host
from local.host.service_bus.connection import connection_settings
from local.servicebus import Broker, BrokerOptions, QueueOptions
from local.threads import in_thread
from tests.local.host.toy_apps import (
    HOST_JSON,
    PREAMBLE,
    RunningApp,
    Send,
    Serve,
    Until,
    WriteApp,
    write_files,
)

ECHO = """
@app.route(route="echo/{id?}")
async def echo(req: func.HttpRequest) -> func.HttpResponse:
    received = {
        "method": req.method,
        "url": req.url,
        "headers": dict(req.headers),
        "params": dict(req.params),
        "route": dict(req.route_params),
        "body": req.get_body().decode("latin-1"),
    }
    return func.HttpResponse(json.dumps(received), mimetype="application/json")
"""

# "brief" locks messages for a second, so that locks expire during a test.
QUEUES = {
    "work": QueueOptions(max_delivery_count=3),
    "brief": QueueOptions(lock_duration=1),
    "text": QueueOptions(),
}


@pytest.fixture(autouse=True)
def no_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unsets every setting that names a Service Bus namespace."""
    members = ("fullyQualifiedNamespace", "credential", "clientId", "managedIdentityResourceId")
    for name in connection_settings():
        for suffix in ("", *(f"__{member}" for member in members)):
            monkeypatch.delenv(f"{name}{suffix}", raising=False)


@pytest.fixture
def write_app(tmp_path: Path) -> WriteApp:
    """Writes apps, each to its own directory."""
    numbers = itertools.count()

    def write(source: str, *, preamble: str = PREAMBLE, host_json: str | None = HOST_JSON) -> Path:
        directory = tmp_path / f"app-{next(numbers)}"
        directory.mkdir()
        write_files(directory, preamble + textwrap.dedent(source), host_json=host_json)
        return directory

    return write


@pytest.fixture
async def serve(write_app: WriteApp) -> AsyncIterator[Serve]:
    """Runs apps on free ports until the test ends."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(
            source: str,
            *,
            preamble: str = PREAMBLE,
            host_json: str | None = HOST_JSON,
            **options: Any,
        ) -> RunningApp:
            app_dir = write_app(source, preamble=preamble, host_json=host_json)
            host = Host(app_dir, port=0, **options)
            stack.push_async_callback(host.stop)
            await host.start()
            client = await stack.enter_async_context(httpx.AsyncClient(base_url=host.url))
            return RunningApp(app_dir, host, client)

        yield start


@pytest.fixture
async def echo(serve: Serve) -> RunningApp:
    """An app whose function returns the request it received."""
    return await serve(ECHO)


@pytest.fixture(scope="session")
def one_broker() -> Iterator[Broker]:
    """The broker of the session; `broker` empties it for each test."""
    with in_thread(Broker(BrokerOptions(port=0, queues=QUEUES))) as running:
        yield running


@pytest.fixture
def broker(one_broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Broker:
    """A broker with empty queues, named by the setting ServiceBus."""
    monkeypatch.setenv("ServiceBus", one_broker.connection_string)
    # Reset before the test, not after: the host of an earlier test may settle messages until now.
    one_broker.reset()
    return one_broker


@pytest.fixture(scope="session")
def send(one_broker: Broker) -> Iterator[Send]:
    """Sends messages to the broker, with one SDK sender per queue."""
    senders: dict[str, ServiceBusSender] = {}
    with ServiceBusClient.from_connection_string(
        one_broker.connection_string, retry_backoff_factor=0.1
    ) as client:

        def send_message(queue: str, body: bytes = b"a body", **properties: Any) -> None:
            if queue not in senders:
                senders[queue] = client.get_queue_sender(queue)
            senders[queue].send_messages(ServiceBusMessage(body, **properties))

        yield send_message


@pytest.fixture
def until() -> Until:
    """Waits until a condition is true."""

    async def wait(condition: Callable[[], object], *, within: float = 15) -> None:
        async with asyncio.timeout(within):
            # The condition becomes true in another thread or process, which sets no event here.
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    return wait
