"""Runs the broker until it is stopped: python -m local.servicebus --help."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from local.foreground import exit_code, serve_until_signalled
from local.listening import Listener, refuse_busy
from local.ports import port, port_number
from local.servicebus import emulator_config
from local.servicebus.broker import Broker
from local.servicebus.options import BrokerOptions, QueueOptions, check_name

VARIABLE = "SERVICEBUS_PORT"
_QUEUE = "NAME[:lock=S,max=N,ttl=S,dedup=S,sessions,dlq-expired]"
_DEFAULTS = BrokerOptions()

# What may stand behind a queue's name: the option, and how its value is read. Flags take none.
_VALUES: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "lock": ("lock_duration", float),
    "max": ("max_delivery_count", int),
    "ttl": ("time_to_live", float),
    "dedup": ("duplicate_detection", float),
}
_FLAGS = {"sessions": "requires_session", "dlq-expired": "dead_letter_on_expiration"}


def main() -> int:
    """The exit code: 0 after Ctrl-C or SIGTERM, 1 if it cannot start, 2 for bad arguments."""
    arguments = _arguments()
    return exit_code(lambda: _serve(arguments))


def _serve(arguments: argparse.Namespace) -> None:
    broker = Broker(_options(arguments))
    service, address = "Service Bus broker", broker.options.host
    refuse_busy([Listener(service, address, broker.options.port, VARIABLE)])
    asyncio.run(serve_until_signalled(broker, lambda: _announce(broker)))


def _announce(broker: Broker) -> None:
    auto = "any other is made when it is first named" if broker.options.auto_create else "no others"
    queues = ", ".join([*broker.queues, auto])
    print(
        f"Service Bus broker\n  {broker.connection_string}\n  queues: {queues}\nready", flush=True
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m local.servicebus",
        description="A stand-in for Azure Service Bus queues.",
        epilog=f"The environment may name the port as well: {VARIABLE}.",
    )
    try:
        default_port = port(VARIABLE, _DEFAULTS.port)
    except ValueError as error:
        parser.error(str(error))
    for name, kind, default, text in (
        ("--host", str, _DEFAULTS.host, "address"),
        ("--port", port_number, default_port, "0 for a free one"),
        ("--max-message", int, _DEFAULTS.max_message_bytes, "bytes of a message"),
        ("--max-stored", int, _DEFAULTS.max_stored_bytes, "bytes of all messages"),
        ("--max-connections", int, _DEFAULTS.max_connections, "clients at the same time"),
        ("--latency", float, _DEFAULTS.latency, "milliseconds until an answer gets out"),
    ):
        parser.add_argument(name, type=kind, default=default, help=f"{text} (default %(default)s)")
    parser.add_argument(
        "--queue", type=queue_argument, action="append", default=[], metavar=_QUEUE, help="repeat"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="of Microsoft's emulator")
    parser.add_argument(
        "--key", type=key_argument, action="append", default=[], metavar="NAME=KEY", help="repeat"
    )
    parser.add_argument("--no-auto-create", action="store_true", help="unknown queues are refused")
    return parser.parse_args()


def queue_argument(text: str) -> tuple[str, QueueOptions]:
    """Name and options of a queue; argparse.ArgumentTypeError says what is wrong."""
    name, _, listed = text.partition(":")
    try:
        check_name(name)
        options = dict(_queue_option(part) for part in filter(None, listed.split(",")))
        return name, QueueOptions(**options)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error


def _queue_option(part: str) -> tuple[str, Any]:
    name, has_value, value = part.partition("=")
    if name in _FLAGS and not has_value:
        return _FLAGS[name], True
    if name not in _VALUES:
        raise ValueError(f"there is no option {part!r}")
    option, read = _VALUES[name]
    return option, read(value)


def key_argument(text: str) -> tuple[str, str]:
    """Name and key of an access policy."""
    name, separator, key = text.partition("=")
    if not (name and separator and key):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=KEY")
    return name, key


def _options(arguments: argparse.Namespace) -> BrokerOptions:
    config: Path | None = arguments.config
    queues = emulator_config.read(config.read_text(encoding="utf-8")) if config else {}
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
