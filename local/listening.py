"""The ports a process is about to listen on."""

import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from local.foreground import NotStartedError


@dataclass(frozen=True)
class Listener:
    """A service and its port; `variable` is what in the environment names another."""

    service: str
    address: str
    port: int
    variable: str


class PortBusyError(NotStartedError):
    """Ports that others listen on already."""


def refuse_busy(listeners: Iterable[Listener]) -> None:
    """PortBusyError with one line for each of `listeners` that could not listen."""
    lines = [
        f"{listener.service}: port {listener.port} on {listener.address} is in use; "
        f"set {listener.variable} to another one"
        for listener in listeners
        if listener.port and _is_busy(listener)
    ]
    if lines:
        raise PortBusyError("\n".join(lines))


def _is_busy(listener: Listener) -> bool:
    family = socket.AF_INET6 if ":" in listener.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: a connection that has just been closed does not make a port busy.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((listener.address, listener.port))
        except OSError as exc:
            return exc.errno == errno.EADDRINUSE
    return False
