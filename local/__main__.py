"""`python -m local`: the app and everything it talks to, on this machine, until Ctrl-C.

Settings come from the environment alone: no `local.settings.json` can have it talk to a real DPS or
Service Bus. Ports: FUNCTIONS_PORT, DPS_PORT, DPS_TLS_PORT, SERVICEBUS_PORT. Key: LOCAL_FUNCTION_KEY.
"""

import argparse
import asyncio
import json
import sys

from local.dps import Options
from local.foreground import exit_code, serve_until_signalled
from local.host import environment
from local.host.banner import function_lines
from local.ports import port
from local.stack import QUEUES, Stack
from shared.settings import MessagingSettings, input_queues

KEY_VARIABLE = "LOCAL_FUNCTION_KEY"


def main() -> int:
    """Serves until SIGINT or SIGTERM; the exit code is 1 if something of it cannot start."""
    argparse.ArgumentParser(prog="python -m local", description=__doc__).parse_args()
    return exit_code(_serve)


def _serve() -> None:
    key = environment.setting(KEY_VARIABLE)
    dps = Options(port=port("DPS_PORT", 7090), tls_port=port("DPS_TLS_PORT", 7443))
    stack = Stack(
        dps,
        functions_port=port("FUNCTIONS_PORT", 7071),
        servicebus_port=port("SERVICEBUS_PORT", 5672),
        key=key,
    )
    asyncio.run(serve_until_signalled(stack, lambda: _announce(stack, needs_key=key is not None)))


def _announce(stack: Stack, *, needs_key: bool) -> None:
    print(_banner(stack, needs_key=needs_key), "ready", sep="\n", flush=True)


def _banner(stack: Stack, *, needs_key: bool) -> str:
    """What listens where and what to try; its keys are the published ones of the stand-ins."""
    return "\n".join(
        [
            f"DPS stand-in on {stack.dps.url} and {stack.dps.tls_url}",
            f"  {stack.dps.connection_string}",
            f"Service Bus broker with the queues {', '.join(QUEUES)}",
            f"  {stack.broker.connection_string}",
            f"functions on {stack.host.url}, {_key_line(needs_key=needs_key)}",
            *function_lines(stack.host),
            f"They talk to {_dps_line(stack)} and {_broker_line(stack)}.",
            _queues_line(),
            "",
            f"Try: {_curl(stack.host.url, needs_key=needs_key)}",
            "Or send a message: docs/local.md, The Service Bus broker",
            "Stop: Ctrl-C",
        ]
    )


def _key_line(*, needs_key: bool) -> str:
    return f"with the key of {KEY_VARIABLE}" if needs_key else "no key needed"


def _dps_line(stack: Stack) -> str:
    return f"the DPS that {stack.other_dps} names" if stack.other_dps else "the DPS stand-in"


def _broker_line(stack: Stack) -> str:
    if stack.other_service_bus:
        return f"the Service Bus that {stack.other_service_bus} names"
    return "the broker"


def _queues_line() -> str:
    """Which queue is for what, as the settings have it."""
    single, bulk = input_queues()
    rejected = MessagingSettings.model_fields["enrollment_rejected_queue"].default
    return (
        f"Messages: send one operation each to {single}, many to {bulk};"
        f" results come in {environment.setting('ENROLLMENT_RESULTS_QUEUE')},"
        f" what is rejected lies in {environment.setting('ENROLLMENT_REJECTED_QUEUE') or rejected}."
    )


def _curl(url: str, *, needs_key: bool) -> str:
    enrollment = {"registrationId": "device-1", "attestation": {"type": "symmetricKey"}}
    key = f' -H "x-functions-key: ${KEY_VARIABLE}"' if needs_key else ""
    return (
        f"curl -X PUT {url}/enrollments/device-1{key}"
        f" -H 'Content-Type: application/json' -d '{json.dumps(enrollment)}'"
    )


if __name__ == "__main__":
    sys.exit(main())
