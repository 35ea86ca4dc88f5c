"""Port numbers from the environment, and a check that ports are free."""

import errno
import os
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from local.foreground import StartError

HIGHEST = 65535


def port(name: str, default: int) -> int:
    """Returns the port in the variable `name`, or `default`; raises ValueError if it is invalid."""
    # The ports belong to the local services, not to the app, so shared/settings does not read them.
    text = os.environ.get(name, "").strip()  # noqa: TID251
    try:
        return port_number(text) if text else default
    except ValueError as error:
        raise ValueError(f"{name} must be {error}, not {text!r}") from error


def port_number(text: str) -> int:
    """Parses a port number; the ValueError for an invalid one says what is allowed."""
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) > HIGHEST:
        raise ValueError(f"a port between 0 and {HIGHEST}")
    return int(text)


@dataclass(frozen=True)
class ServicePort:
    """A service and the port it will use; `variable` is the environment variable that sets it."""

    service: str
    address: str
    port: int
    variable: str


class PortInUseError(StartError):
    """Ports are already in use."""


def check_ports_free(ports: Iterable[ServicePort]) -> None:
    """Raises PortInUseError with a line for each port that is in use; port 0 never is."""
    lines = [
        f"{candidate.service}: port {candidate.port} on {candidate.address} is in use; "
        f"set {candidate.variable} to another port"
        for candidate in ports
        if candidate.port and _is_in_use(candidate)
    ]
    if lines:
        raise PortInUseError("\n".join(lines))


def _is_in_use(candidate: ServicePort) -> bool:
    family = socket.AF_INET6 if ":" in candidate.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do, so that a connection closed a moment ago does not count as a port in use.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((candidate.address, candidate.port))
        except OSError as exc:
            return exc.errno == errno.EADDRINUSE
    return False
