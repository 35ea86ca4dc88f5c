"""
`python -m local`: runs the app, a DPS stand-in and a Service Bus broker until Ctrl-C.

Settings come from the environment only, so no `local.settings.json` can make the app use a real DPS
or Service Bus. Ports: FUNCTIONS_PORT, FUNCTIONS_TLS_PORT, DPS_PORT, DPS_TLS_PORT, SERVICEBUS_PORT.
Function key: LOCAL_FUNCTION_KEY.
"""

import argparse
import asyncio
import json
import sys
from functools import partial
from pathlib import Path

from local.dps import Options
from local.dps.options import OWNER
from local.foreground import exit_code, serve_until_signalled
from local.host import describe_functions, environment
from local.ports import port
from local.stack import QUEUES, ROOT, Stack
from shared.settings import ServiceBusSettings, input_queues

KEY_VARIABLE = "LOCAL_FUNCTION_KEY"
CERTIFICATE = ROOT / "dist" / "local-functions.pem"


def main() -> int:
    """Serves until SIGINT or SIGTERM; returns exit code 1 if a service cannot be started."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument(
        "--certificate",
        type=Path,
        default=CERTIFICATE,
        metavar="FILE",
        help="write the https certificate (PEM) of the functions to FILE (default %(default)s)",
    )
    arguments = parser.parse_args()
    return exit_code(lambda: _serve(arguments.certificate))


def _serve(certificate: Path) -> None:
    key = environment.setting(KEY_VARIABLE)
    dps = Options(port=port("DPS_PORT", 7090), tls_port=port("DPS_TLS_PORT", 7443))
    stack = Stack(
        dps,
        functions_port=port("FUNCTIONS_PORT", 7071),
        functions_tls_port=port("FUNCTIONS_TLS_PORT", 7444),
        servicebus_port=port("SERVICEBUS_PORT", 5672),
        key=key,
    )
    certificate.parent.mkdir(exist_ok=True)
    certificate.write_bytes(stack.host.tls_certificate)
    text = partial(_banner, stack, certificate, needs_key=key is not None)
    asyncio.run(serve_until_signalled(stack, lambda: print(text(), "ready", sep="\n", flush=True)))


def _banner(stack: Stack, certificate: Path, *, needs_key: bool) -> str:
    """Returns the services, their addresses and a first request; the keys shown are public ones."""
    return "\n".join(
        [
            f"DPS stand-in on {stack.dps.url} and {stack.dps.tls_url}",
            f"  {stack.dps.connection_string}",
            f"Service Bus broker with the queues {', '.join(QUEUES)}",
            f"  {stack.broker.connection_string}",
            f"functions on {stack.host.url}, {_key_text(needs_key=needs_key)}",
            *describe_functions(stack.host),
            "",
            *_client_lines(stack, certificate),
            "",
            f"The functions use {_dps_text(stack)} and {_service_bus_text(stack)}. Queues:",
            *_queue_lines(),
            "",
            f"Try: {_curl(stack.host.url, needs_key=needs_key)}",
            "To send a message, see docs/local.md.",
            "Stop: Ctrl-C",
        ]
    )


def _client_lines(stack: Stack, certificate: Path) -> list[str]:
    """Returns what a DPS client needs; a key only if the app accepts every signature."""
    string = f"HostName={stack.host.tls_url.removeprefix('https://')};SharedAccessKeyName="
    if environment.setting("SHARED_ACCESS_POLICIES"):
        string += "<a policy of SHARED_ACCESS_POLICIES>;SharedAccessKey=<its key>"
    else:
        string += f"{OWNER.name};SharedAccessKey={OWNER.primary_key}"
    return [
        f"DPS clients: trust {certificate} (NODE_EXTRA_CA_CERTS, REQUESTS_CA_BUNDLE) and use",
        f"  {string}",
    ]


def _key_text(*, needs_key: bool) -> str:
    return f"function key in {KEY_VARIABLE}" if needs_key else "no function key needed"


def _dps_text(stack: Stack) -> str:
    return f"the DPS in {stack.other_dps}" if stack.other_dps else "the DPS stand-in"


def _service_bus_text(stack: Stack) -> str:
    other = stack.other_service_bus
    return f"the Service Bus namespace in {other}" if other else "the Service Bus broker"


def _queue_lines() -> list[str]:
    """Returns the purpose of each queue that the settings name."""
    single, bulk = input_queues()
    results = environment.setting("ENROLLMENT_RESULTS_QUEUE")
    default = ServiceBusSettings.model_fields["enrollment_rejected_queue"].default
    rejected = environment.setting("ENROLLMENT_REJECTED_QUEUE") or default
    return [
        f"  {single}: requests for one record",
        f"  {bulk}: requests for many records",
        f"  {results}: results",
        f"  {rejected}: rejected requests, with the reason",
    ]


def _curl(url: str, *, needs_key: bool) -> str:
    enrollment = {"registrationId": "device-1", "attestation": {"type": "symmetricKey"}}
    key = f' -H "x-functions-key: ${KEY_VARIABLE}"' if needs_key else ""
    return (
        f"curl -X PUT {url}/enrollments/device-1{key}"
        f" -H 'Content-Type: application/json' -d '{json.dumps(enrollment)}'"
    )


if __name__ == "__main__":
    sys.exit(main())
