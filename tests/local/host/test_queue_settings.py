"""Which triggers are fed from which queue, which are not and why."""

import asyncio
import logging
import sys

import pytest

from local.host import Host
from tests.local.host.queue_apps import host_json

KEY = "c2VjcmV0LW9mLWEtbmFtZXNwYWNl"
STRING = f"Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=name;SharedAccessKey={KEY}"

TRIGGER = """
@app.service_bus_queue_trigger({options})
async def consume({parameter}) -> None:
    pass
"""
TOPIC = """
@app.service_bus_topic_trigger(
    arg_name="message", topic_name="t", subscription_name="s", connection="ServiceBus"
)
async def consume(message: func.ServiceBusMessage) -> None:
    pass
"""
TIMER = """
@app.timer_trigger(schedule="0 0 * * * *", arg_name="timer")
async def consume(timer: func.TimerRequest) -> None:
    pass
"""
OUTPUT = """
@app.service_bus_queue_output(arg_name="out", queue_name="q", connection="ServiceBus")
"""


def trigger(parameter="message: func.ServiceBusMessage", **options):
    """A toy app with one trigger of a queue."""
    given = {"arg_name": "message", "queue_name": "q", "connection": "ServiceBus"} | options
    return TRIGGER.format(
        options=", ".join(
            f"{name}={value if str(value).startswith('func.') else repr(value)}"
            for name, value in given.items()
        ),
        parameter=parameter,
    )


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        pytest.param(trigger(queue_name="%TOY%"), "%TOY% is not set", id="queue-name"),
        pytest.param(trigger(connection="%TOY%"), "%TOY% is not set", id="connection-name"),
        pytest.param(
            trigger(connection="Other"),
            "neither Other nor Other__fullyQualifiedNamespace is set",
            id="connection",
        ),
        pytest.param(trigger(cardinality="many"), "batches", id="batch"),
        pytest.param(trigger(is_sessions_enabled=True), "sessions", id="sessions"),
        pytest.param(
            trigger("message: str"), "'message' is not a func.ServiceBusMessage", id="parameter"
        ),
        pytest.param(
            OUTPUT.rstrip() + trigger("message: func.ServiceBusMessage, out: func.Out[str]"),
            "its binding 'out' (serviceBus) is not supported",
            id="output",
        ),
        pytest.param(TOPIC, "topics", id="topic"),
        pytest.param(TIMER, "nothing that starts it", id="timer"),
    ],
)
async def test_trigger_is_not_fed(serve, monkeypatch, source, reason):
    """What this host cannot feed is named with the reason, and does not keep it from serving."""
    monkeypatch.setenv("ServiceBus", STRING)

    served = await serve(source)

    (idle,) = served.host.idle
    assert (idle.name, reason in idle.reason) == ("consume", True)
    assert served.host.fed == []


async def test_disabled_function_is_not_fed(serve, monkeypatch):
    """A function that a setting disables gets no messages."""
    monkeypatch.setenv("AzureWebJobs.consume.Disabled", "true")
    monkeypatch.setenv("ServiceBus", STRING)

    served = await serve(trigger())

    assert [idle.reason for idle in served.host.idle] == ["it is disabled"]


async def test_queue_name_comes_from_a_setting(serve, monkeypatch):
    """`%NAME%` in the name of a queue stands for the setting NAME; the host lists what it feeds."""
    monkeypatch.setenv("ServiceBus", STRING)
    monkeypatch.setenv("TOY_QUEUE", "orders")

    served = await serve(trigger(queue_name="%toy_queue%-in"))

    (fed,) = served.host.fed
    assert (fed.name, fed.queue, fed.connection) == ("consume", "orders-in", "ServiceBus")


async def test_unreachable_namespace_is_logged_without_its_key(serve, monkeypatch, until, caplog):
    """The log names function, queue and trouble."""
    caplog.set_level(logging.WARNING, "local.host.queues")
    monkeypatch.setenv("ServiceBus", f"{STRING};UseDevelopmentEmulator=true")

    await serve(trigger())
    await until(lambda: "no messages from queue q: ServiceBusConnectionError" in caplog.text)

    assert KEY not in caplog.text


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({"autoCompleteMessages": '"yes"'}, "autoCompleteMessages", id="not-a-bool"),
        pytest.param({"maxConcurrentCalls": 0}, "maxConcurrentCalls", id="no-calls"),
        pytest.param({"maxConcurrentCalls": "true"}, "maxConcurrentCalls", id="not-a-number"),
        pytest.param(
            {"maxAutoLockRenewalDuration": '"5m"'}, "maxAutoLockRenewalDuration", id="not-a-time"
        ),
    ],
)
async def test_broken_service_bus_options_are_refused(write_app, options, expected):
    """A member of `extensions.serviceBus` that cannot be read is named."""
    app_dir = write_app(trigger(), host_json=host_json(**options))

    with pytest.raises(Exception, match=f"extensions.serviceBus.{expected} is not"):
        await Host(app_dir, port=0).start()


async def test_sdk_is_not_imported_without_a_trigger(write_app):
    """An app without queues does not pay for the SDK."""
    app_dir = write_app('@app.route(route="it")\ndef it(req: func.HttpRequest) -> str: ...\n')
    code = (
        "import asyncio, sys; from pathlib import Path; from local.host import Host\n"
        f"host = Host(Path({str(app_dir)!r}), port=0)\n"
        "async def life(): await host.start(); await host.stop()\n"
        "asyncio.run(life()); print('azure.servicebus' in sys.modules)"
    )

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 30)

    assert out == b"False\n"
