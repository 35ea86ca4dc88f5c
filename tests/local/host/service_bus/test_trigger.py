"""Queue triggers: their settings, and those that this host skips."""

import asyncio
import logging
import sys

import pytest

from local.host import Host
from tests.local.host.toy_apps import Serve, Until, WriteApp, host_json

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


def trigger(parameter: str = "message: func.ServiceBusMessage", **options: object) -> str:
    """Returns an app with one queue trigger."""
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
        pytest.param(trigger(queue_name="%TOY%"), "the setting TOY is not set", id="queue-name"),
        pytest.param(
            trigger(connection="%TOY%"), "the setting TOY is not set", id="connection-name"
        ),
        pytest.param(
            trigger(connection="Other"),
            "neither Other nor Other__fullyQualifiedNamespace is set",
            id="connection",
        ),
        pytest.param(trigger(cardinality="many"), "batches", id="batch"),
        pytest.param(trigger(is_sessions_enabled=True), "sessions", id="sessions"),
        pytest.param(
            trigger("message: str"), "'message' must be a func.ServiceBusMessage", id="parameter"
        ),
        pytest.param(
            OUTPUT.rstrip() + trigger("message: func.ServiceBusMessage, out: func.Out[str]"),
            "the binding 'out' (serviceBus) is not supported",
            id="output",
        ),
        pytest.param(TOPIC, "topics", id="topic"),
        pytest.param(TIMER, "triggers of this type are not supported", id="timer"),
    ],
)
async def test_unsupported_trigger_is_skipped(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, source: str, reason: str
) -> None:
    """An unsupported trigger is listed with the reason, and the host starts without it."""
    monkeypatch.setenv("ServiceBus", STRING)

    served = await serve(source)

    (skipped,) = served.host.skipped_functions
    assert (skipped.name, reason in skipped.reason) == ("consume", True)
    assert served.host.queue_functions == []


async def test_disabled_function_is_skipped(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that a setting disables receives no messages."""
    monkeypatch.setenv("AzureWebJobs.consume.Disabled", "true")
    monkeypatch.setenv("ServiceBus", STRING)

    served = await serve(trigger())

    assert [skipped.reason for skipped in served.host.skipped_functions] == [
        "the function is disabled"
    ]


async def test_queue_name_comes_from_a_setting(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`%NAME%` in a queue's name is replaced by the setting NAME."""
    monkeypatch.setenv("ServiceBus", STRING)
    monkeypatch.setenv("TOY_QUEUE", "orders")

    served = await serve(trigger(queue_name="%toy_queue%-in"))

    (listed,) = served.host.queue_functions
    assert (listed.name, listed.queue, listed.connection) == ("consume", "orders-in", "ServiceBus")


async def test_unreachable_namespace_is_logged_without_its_key(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the function, the queue and the error, but not the key."""
    caplog.set_level(logging.WARNING, "local.host.service_bus")
    monkeypatch.setenv("ServiceBus", f"{STRING};UseDevelopmentEmulator=true")

    await serve(trigger())
    await until(lambda: "cannot receive from queue q: ServiceBusConnectionError" in caplog.text)

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
async def test_invalid_service_bus_options_are_rejected(
    write_app: WriteApp, options: dict[str, object], expected: str
) -> None:
    """The error names the invalid member of `extensions.serviceBus`."""
    app_dir = write_app(trigger(), host_json=host_json(**options))

    with pytest.raises(Exception, match=f"extensions.serviceBus.{expected} must be"):
        await Host(app_dir, port=0).start()


async def test_sdk_is_not_imported_without_a_trigger(write_app: WriteApp) -> None:
    """An app without queue triggers does not load the Service Bus SDK."""
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
