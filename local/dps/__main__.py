"""Runs the stand-in until it is stopped: python -m local.dps --help."""

import argparse
import asyncio
import math
import signal
import sys
from pathlib import Path

from local.dps.options import Options
from local.dps.standin import DpsStandIn
from local.ports import port, port_number


def main() -> int:
    """The exit code: 0 after Ctrl-C or SIGTERM, 1 if a port cannot be had, 2 for bad arguments."""
    arguments = _arguments()
    dps = DpsStandIn(_options(arguments))
    try:
        if arguments.certificate:
            arguments.certificate.write_bytes(dps.tls_certificate)
        asyncio.run(_serve(dps, arguments.certificate))
    except OSError as error:
        print(*filter(None, (error.strerror, error.filename)), sep=": ", file=sys.stderr)
        return 1
    return 0


async def _serve(dps: DpsStandIn, certificate: Path | None) -> None:
    ending = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    await dps.start()
    try:
        print(_banner(dps, certificate), "ready", sep="\n", flush=True)
        await ending.wait()
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
  identity           IDENTITY_ENDPOINT={dps.url}/_identity/token \
IDENTITY_HEADER={dps.options.identity_header}
  a device           python -m local.device register --dps {dps.url} --id ID --key KEY
  control            {", ".join(dps.control_endpoints)}
  try                curl {dps.url}/_stats"""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m local.dps",
        description="A stateful stand-in for the Azure Device Provisioning Service.",
        epilog="The environment may name the ports as well: DPS_PORT, DPS_TLS_PORT.",
    )
    try:
        _add_addresses(parser)
    except ValueError as error:
        parser.error(str(error))
    parser.add_argument("--certificate", type=Path, metavar="FILE", help="write https's PEM here")
    parser.add_argument(
        "--mask-webhook-urls", action="store_true", help="answer ?**** for a webhookUrl's query"
    )
    parser.add_argument(
        "--throttle", type=above_zero, metavar="N", help="admit N operations a minute"
    )
    _add_times(parser)
    return parser.parse_args()


def _add_times(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--latency", type=float, default=0, metavar="MS", help="of an operation")
    parser.add_argument(
        "--bulk-latency", type=float, metavar="MS", help="of a bulk call (default: --latency)"
    )
    parser.add_argument(
        "--retry-scale",
        type=above_zero,
        default=Options().retry_scale,
        metavar="N",
        help="of the time between calls of a webhook that fails (default %(default)s)",
    )
    parser.add_argument(
        "--hub-latency",
        action="append",
        default=[],
        type=hub_latency,
        metavar="HUB=MS",
        help="what geoLatency goes by; may be given for each hub",
    )


def _add_addresses(parser: argparse.ArgumentParser) -> None:
    host = Options().host
    parser.add_argument("--host", default=host, help="address (default %(default)s)")
    for name, variable, default, scheme in (
        ("--port", "DPS_PORT", 7090, "http"),
        ("--tls-port", "DPS_TLS_PORT", 7443, "https"),
    ):
        parser.add_argument(
            name,
            type=port_number,
            default=port(variable, default),
            metavar="PORT",
            help=f"of {scheme}, 0 for a free one (default %(default)s)",
        )


def above_zero(text: str) -> float:
    """A number above zero, or ValueError; argparse shows the name."""
    number = float(text)
    if not 0 < number < math.inf:
        raise ValueError(text)
    return number


def hub_latency(text: str) -> tuple[str, float]:
    """A hub and its latency, or ValueError; argparse shows the name."""
    hub, _, number = text.rpartition("=")
    if not hub:
        raise ValueError(text)
    return hub, float(number)


def _options(arguments: argparse.Namespace) -> Options:
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
