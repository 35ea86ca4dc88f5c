"""Registers a device with DPS or with the stand-in."""

import argparse
import asyncio
import base64
import binascii
import ipaddress
import json
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from local.device.identity import Identity
from local.device.registration import Registration, RegistrationError, State
from local.dps import Options
from local.dps.derived_keys import derived_key
from local.ports import port

REQUEST_TIMEOUT: Final = aiohttp.ClientTimeout(total=30)
# Longer than DPS retries a webhook that fails.
REGISTRATION_TIMEOUT_SECONDS: Final = 900.0


def main(argv: Sequence[str] | None = None) -> int:
    """
    Runs the command and returns its exit code.

    0 if the device is assigned, 1 if it is not; exits with 2 for invalid arguments.
    """
    arguments = _create_parser().parse_args(argv)
    try:
        state = asyncio.run(asyncio.wait_for(_register(arguments), REGISTRATION_TIMEOUT_SECONDS))
    except TimeoutError:
        print("the registration did not finish in time", file=sys.stderr)
        return 1
    except (RegistrationError, aiohttp.ClientError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
    print(json.dumps(_without_tpm(state), indent=2))
    return 0 if state["status"] == "assigned" else 1


async def _register(arguments: argparse.Namespace) -> State:
    url = arguments.dps or _default_url(has_tls=arguments.certificate is not None)
    identity = _create_identity(arguments)
    context = _create_tls_context(url, arguments.trust)
    identity.load_certificate_into(context)
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector, timeout=REQUEST_TIMEOUT) as session:
        registration = Registration(session=session, url=url, identity=identity, report=print)
        return await registration.run(arguments.payload)


def _create_identity(arguments: argparse.Namespace) -> Identity:
    key = arguments.key
    if arguments.group_key is not None:
        key = derived_key(arguments.group_key, arguments.id)
    return Identity(
        id_scope=arguments.id_scope,
        registration_id=arguments.id,
        key=key,
        certificate=arguments.certificate,
        private_key=arguments.private_key,
        endorsement_key=arguments.endorsement_key,
    )


def _default_url(*, has_tls: bool) -> str:
    if has_tls:
        return f"https://127.0.0.1:{port('DPS_TLS_PORT', 7443)}"
    return f"http://127.0.0.1:{port('DPS_PORT', 7090)}"


def _create_tls_context(url: str, trust: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=trust)
    if trust is None and _is_loopback(urlsplit(url).hostname or ""):
        # The stand-in creates a new certificate at each start, and loopback is safe without one.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _without_tpm(state: State) -> dict[str, Any]:
    """Returns the state without the member that holds encrypted data for a TPM."""
    return {name: value for name, value in state.items() if name != "tpm"}


def _create_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local.device", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    register = commands.add_parser("register", help="register a device once and print its state")
    register.add_argument("--id", required=True, help="registration id")
    _add_proofs(register)
    register.add_argument(
        "--payload", type=_json, metavar="JSON", help="payload for a custom allocation webhook"
    )
    register.add_argument(
        "--dps", metavar="URL", help="device endpoint (default: the stand-in on this machine)"
    )
    register.add_argument(
        "--id-scope",
        default=Options().id_scope,
        metavar="SCOPE",
        help="id scope (default: %(default)s)",
    )
    register.add_argument(
        "--trust",
        type=Path,
        metavar="FILE",
        help="CA certificates (PEM) for https; the default trusts any certificate on loopback",
    )
    return parser


def _add_proofs(register: argparse.ArgumentParser) -> None:
    proof = register.add_mutually_exclusive_group(required=True)
    proof.add_argument("--key", type=_base64_key, help="symmetric key of the device")
    proof.add_argument(
        "--group-key",
        type=_base64_key,
        metavar="KEY",
        help="symmetric key of the group, from which the key of the device is derived",
    )
    proof.add_argument(
        "--certificate", type=Path, metavar="FILE", help="certificate of the device and its chain"
    )
    proof.add_argument(
        "--endorsement-key",
        metavar="EK",
        help="endorsement key of a TPM; the challenge is not implemented",
    )
    register.add_argument(
        "--private-key",
        type=Path,
        metavar="FILE",
        help="private key (PEM; default: in the certificate file)",
    )


def _base64_key(text: str) -> str:
    """Returns the key; the error for argparse does not show it."""
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise argparse.ArgumentTypeError("must be a key in base64") from None
    return text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be JSON: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
