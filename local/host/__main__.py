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
    arguments = parser.parse_args()
    return exit_code(lambda: _serve(arguments.app, arguments.host, arguments.port))


def _serve(app_dir: Path, address: str, given_port: int | None) -> None:
    environment.load_local_settings(app_dir)
    number = port("FUNCTIONS_PORT", 7071) if given_port is None else given_port
    check_ports_free([ServicePort("functions", address, number, "FUNCTIONS_PORT")])
    key = environment.setting("LOCAL_FUNCTION_KEY")
    host = Host(app_dir, host=address, port=number, key=key)
    asyncio.run(serve_until_signalled(host, lambda: _announce(host)))


def _announce(host: Host) -> None:
    print(f"functions on {host.url}", *describe_functions(host), "ready", sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
