"""Runs the stand-in until SIGINT or SIGTERM; see python -m local.dps --help."""

import argparse
import asyncio
import math
import signal
import sys
from pathlib import Path

from local.dps.options import Options
from local.dps.server import DpsStandIn
from local.ports import port, port_number


def main() -> int:
    """
    Runs the command and returns its exit code.

    0 after Ctrl-C or SIGTERM, 1 if a port or the certificate file is not available, 2 for invalid
    arguments.
    """
    arguments = _parse_arguments()
    dps = DpsStandIn(_create_options(arguments))
    try:
        if arguments.certificate:
            arguments.certificate.write_bytes(dps.tls_certificate)
        asyncio.run(_serve(dps, arguments.certificate))
    except OSError as error:
        print(*filter(None, (error.strerror, error.filename)), sep=": ", file=sys.stderr)
        return 1
    return 0


async def _serve(dps: DpsStandIn, certificate: Path | None) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await dps.start()
    try:
        print(_banner(dps, certificate), "ready", sep="\n", flush=True)
        await stopped.wait()
    finally:
        await dps.stop()


def _banner(dps: DpsStandIn, certificate: Path | None) -> str:
    https = f"{dps.tls_url} (certificate: {certificate or 'see --certificate'})"
    return f"""Device Provisioning Service stand-in
  http               {dps.url}
  https              {https if dps.tls_port else "off"}
  connection string  {dps.connection_string}
  id scope           {dps.options.id_scope}
  linked hubs        {", ".join(dps.options.linked_hubs)}
  managed identity   IDENTITY_ENDPOINT={dps.url}/_identity/token \
IDENTITY_HEADER={dps.options.identity_header}
  register a device  python -m local.device register --dps {dps.url} --id ID --key KEY
  control endpoints  {", ".join(dps.control_endpoints)}
  try                curl {dps.url}/_stats"""


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m local.dps",
        description="A stateful stand-in for the Azure IoT Hub Device Provisioning Service.",
        epilog="The environment variables DPS_PORT and DPS_TLS_PORT set the default ports.",
    )
    try:
        _add_addresses(parser)
    except ValueError as error:
        parser.error(str(error))
    parser.add_argument(
        "--certificate", type=Path, metavar="FILE", help="write the https certificate (PEM) to FILE"
    )
    parser.add_argument(
        "--mask-webhook-urls",
        action=argparse.BooleanOptionalAction,
        default=Options().mask_webhook_urls,
        help="replace the query of each webhookUrl in responses by ?****, as DPS does",
    )
    parser.add_argument(
        "--throttle",
        type=positive_number,
        metavar="N",
        help="admit N operations per minute (default: no quota)",
    )
    _add_times(parser)
    return parser.parse_args()


def _add_addresses(parser: argparse.ArgumentParser) -> None:
    host = Options().host
    parser.add_argument("--host", default=host, help="address to listen on (default: %(default)s)")
    for name, variable, default, scheme in (
        ("--port", "DPS_PORT", 7090, "http"),
        ("--tls-port", "DPS_TLS_PORT", 7443, "https"),
    ):
        parser.add_argument(
            name,
            type=port_number,
            default=port(variable, default),
            metavar="PORT",
            help=f"{scheme} port, 0 for a free one (default: %(default)s)",
        )


def _add_times(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--latency",
        type=float,
        default=0,
        metavar="MS",
        help="latency of each operation in milliseconds (default: %(default)s)",
    )
    parser.add_argument(
        "--bulk-latency",
        type=float,
        metavar="MS",
        help="latency of each bulk call in milliseconds (default: --latency)",
    )
    parser.add_argument(
        "--retry-scale",
        type=positive_number,
        default=Options().retry_scale,
        metavar="N",
        help="factor on the time between webhook retries (default: %(default)s)",
    )
    parser.add_argument(
        "--hub-latency",
        action="append",
        default=[],
        type=hub_latency,
        metavar="HUB=MS",
        help="latency of a hub for geoLatency allocation; repeat for each hub",
    )


def positive_number(text: str) -> float:
    """Returns a number above 0; raises ValueError. argparse shows the name of this function."""
    number = float(text)
    if not 0 < number < math.inf:
        raise ValueError(text)
    return number


def hub_latency(text: str) -> tuple[str, float]:
    """Returns a hub and its latency; raises ValueError. argparse shows this function's name."""
    hub, _, number = text.rpartition("=")
    if not hub:
        raise ValueError(text)
    return hub, float(number)


def _create_options(arguments: argparse.Namespace) -> Options:
    latency, bulk = arguments.latency, arguments.bulk_latency
    return Options(
        host=arguments.host,
        port=arguments.port,
        tls_port=arguments.tls_port,
        mask_webhook_urls=arguments.mask_webhook_urls,
        throttled=arguments.throttle is not None,
        operations_per_minute=arguments.throttle or Options().operations_per_minute,
        single_ms=latency,
        bulk_ms=latency if bulk is None else bulk,
        retry_scale=arguments.retry_scale,
        hub_latencies=dict(arguments.hub_latency),
    )


if __name__ == "__main__":
    sys.exit(main())
