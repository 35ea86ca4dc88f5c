"""Command line of the broker: `python -m local.servicebus --help`."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from local.foreground import exit_code, serve_until_signalled
from local.ports import ServicePort, check_ports_free, port, port_number
from local.servicebus.broker import Broker
from local.servicebus.options import (
    BrokerOptions,
    QueueOptions,
    check_queue_name,
    read_emulator_config,
)

VARIABLE = "SERVICEBUS_PORT"
_QUEUE = "NAME[:lock=S,max=N,ttl=S,dedup=S,sessions,dlq-expired]"
_DEFAULTS = BrokerOptions()

# Options after a queue's name: the field of QueueOptions and the parser of its value.
_VALUES: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "lock": ("lock_duration", float),
    "max": ("max_delivery_count", int),
    "ttl": ("time_to_live", float),
    "dedup": ("duplicate_detection", float),
}
_FLAGS = {"sessions": "requires_session", "dlq-expired": "dead_letter_on_expiration"}


def main() -> int:
    """
    Runs the broker; returns 0 after Ctrl-C or SIGTERM, or 1 if it cannot start.

    Exits with 2 for invalid arguments.
    """
    arguments = _parse_arguments()
    return exit_code(lambda: _serve(arguments))


def _serve(arguments: argparse.Namespace) -> None:
    broker = Broker(_broker_options(arguments))
    service, address = "Service Bus broker", broker.options.host
    check_ports_free([ServicePort(service, address, broker.options.port, VARIABLE)])
    asyncio.run(serve_until_signalled(broker, lambda: _announce(broker)))


def _announce(broker: Broker) -> None:
    others = "others are created on first use" if broker.options.auto_create else "no others"
    queues = ", ".join([*broker.queues, others])
    print(
        f"Service Bus broker\n  {broker.connection_string}\n  queues: {queues}\nready", flush=True
    )


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m local.servicebus",
        description="A local broker that stands in for Azure Service Bus queues.",
        epilog=f"The environment variable {VARIABLE} sets the default of --port.",
    )
    try:
        default_port = port(VARIABLE, _DEFAULTS.port)
    except ValueError as error:
        parser.error(str(error))
    for name, kind, default, text in (
        ("--host", str, _DEFAULTS.host, "address to listen on"),
        ("--port", port_number, default_port, "port to listen on; 0 for any free one"),
        ("--max-message", int, _DEFAULTS.max_message_bytes, "maximum bytes of a message"),
        ("--max-stored", int, _DEFAULTS.max_stored_bytes, "maximum bytes of all messages"),
        ("--max-connections", int, _DEFAULTS.max_connections, "maximum number of connections"),
        ("--latency", float, _DEFAULTS.latency, "delay of everything it sends, in milliseconds"),
    ):
        parser.add_argument(name, type=kind, default=default, help=f"{text} (default %(default)s)")
    for name, parse, form, text in (
        ("--queue", queue_argument, _QUEUE, "create a queue; may be repeated"),
        ("--key", key_argument, "NAME=KEY", "shared access key to check tokens; may be repeated"),
    ):
        parser.add_argument(name, type=parse, metavar=form, help=text, action="append", default=[])
    parser.add_argument("--config", type=Path, metavar="FILE", help="the emulator's Config.json")
    parser.add_argument("--no-auto-create", action="store_true", help="refuse unknown queues")
    return parser.parse_args()


def queue_argument(text: str) -> tuple[str, QueueOptions]:
    """Returns name and options of a queue; raises argparse.ArgumentTypeError."""
    name, _, listed = text.partition(":")
    try:
        check_queue_name(name)
        options = dict(_queue_option(part) for part in filter(None, listed.split(",")))
        return name, QueueOptions(**options)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error


def _queue_option(part: str) -> tuple[str, Any]:
    name, has_value, value = part.partition("=")
    if name in _FLAGS and not has_value:
        return _FLAGS[name], True
    if name not in _VALUES:
        allowed = ", ".join([*(f"{name}=" for name in _VALUES), *_FLAGS])
        raise ValueError(f"option {part!r} must be one of {allowed}")
    option, parse = _VALUES[name]
    return option, parse(value)


def key_argument(text: str) -> tuple[str, str]:
    """Returns name and key of a shared access policy; raises argparse.ArgumentTypeError."""
    name, separator, key = text.partition("=")
    if not (name and separator and key):
        # The text may be a key, so it is not repeated.
        raise argparse.ArgumentTypeError("must be NAME=KEY")
    return name, key


def _broker_options(arguments: argparse.Namespace) -> BrokerOptions:
    config: Path | None = arguments.config
    queues = read_emulator_config(config.read_text(encoding="utf-8")) if config else {}
    return BrokerOptions(
        host=arguments.host,
        port=arguments.port,
        queues=queues | dict(arguments.queue),
        auto_create=not arguments.no_auto_create,
        keys=dict(arguments.key),
        max_message_bytes=arguments.max_message,
        max_stored_bytes=arguments.max_stored,
        max_connections=arguments.max_connections,
        latency=arguments.latency / 1000,
    )


if __name__ == "__main__":
    sys.exit(main())
