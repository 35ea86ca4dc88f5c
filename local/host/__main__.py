"""`python -m local.host --app DIR`: runs one app locally, without Azure Functions Core Tools."""

import argparse
import asyncio
import sys
from pathlib import Path

from local.foreground import exit_code, serve_until_signalled
from local.host import Host, describe_functions, environment
from local.ports import ServicePort, check_ports_free, port


def main() -> int:
    """Serves until SIGINT or SIGTERM; returns exit code 1 if the app or the port cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m local.host", description=__doc__)
    parser.add_argument(
        "--app", type=Path, required=True, help="the directory that holds function_app.py"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="the address to listen on (default %(default)s)"
    )
    parser.add_argument(
        "--port",
        type=int,
        help="the port to listen on; 0 picks a free one (default FUNCTIONS_PORT, or 7071)",
    )
    parser.add_argument(
        "--tls-port",
        type=int,
        help="the port for https (default FUNCTIONS_TLS_PORT, or 7444; a free one with --port 0)",
    )
    parser.add_argument(
        "--certificate", type=Path, metavar="FILE", help="write the https certificate (PEM) to FILE"
    )
    arguments = parser.parse_args()
    return exit_code(lambda: _serve(arguments))


def _serve(arguments: argparse.Namespace) -> None:
    environment.load_local_settings(arguments.app)
    http_port = _port(arguments.port, "FUNCTIONS_PORT", 7071)
    tls_port = _port(arguments.tls_port, "FUNCTIONS_TLS_PORT", 7444 if http_port else 0)
    check_ports_free(
        [
            ServicePort("functions (http)", arguments.host, http_port, "FUNCTIONS_PORT"),
            ServicePort("functions (https)", arguments.host, tls_port, "FUNCTIONS_TLS_PORT"),
        ]
    )
    host = Host(
        arguments.app,
        host=arguments.host,
        port=http_port,
        tls_port=tls_port,
        key=environment.setting("LOCAL_FUNCTION_KEY"),
    )
    if arguments.certificate:
        arguments.certificate.write_bytes(host.tls_certificate)
    with environment.applied(environment.unset(environment.LOCAL_HOST_NAMES)):
        asyncio.run(serve_until_signalled(host, lambda: _announce(host)))


def _port(given: int | None, variable: str, default: int) -> int:
    return port(variable, default) if given is None else given


def _announce(host: Host) -> None:
    urls = (f"functions on {host.url}", f"  https: {host.tls_url}")
    print(*urls, *describe_functions(host), "ready", sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
