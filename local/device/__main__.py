"""Plays a device by hand: python -m local.device register --help."""

import argparse
import asyncio
import base64
import binascii
import ipaddress
import json
import ssl
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from local.device.identity import Identity
from local.device.registration import RefusedError, Registration, State
from local.dps import Options
from local.dps.signatures import derived_key
from local.ports import port

ANSWER_WITHIN: Final = aiohttp.ClientTimeout(total=30)
# Longer than DPS calls a webhook that fails, again and again.
END_WITHIN_SECONDS: Final = 900.0


def main() -> int:
    """The exit code: 0 if the device is assigned, 1 if it is not, 2 for bad arguments."""
    arguments = _parser().parse_args()
    try:
        state = asyncio.run(asyncio.wait_for(_register(arguments), END_WITHIN_SECONDS))
    except TimeoutError:
        print("the service does not answer in time", file=sys.stderr)
        return 1
    except (RefusedError, aiohttp.ClientError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
    print(json.dumps(_shown(state), indent=2))
    return 0 if state["status"] == "assigned" else 1


async def _register(arguments: argparse.Namespace) -> State:
    url = arguments.dps or _default_url(with_tls=arguments.certificate is not None)
    identity = _identity(arguments)
    context = _tls(url, arguments.trust)
    identity.present(context)
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector, timeout=ANSWER_WITHIN) as session:
        registration = Registration(session=session, url=url, identity=identity, say=print)
        return await registration.run(arguments.payload)


def _identity(arguments: argparse.Namespace) -> Identity:
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


def _default_url(*, with_tls: bool) -> str:
    if with_tls:
        return f"https://127.0.0.1:{port('DPS_TLS_PORT', 7443)}"
    return f"http://127.0.0.1:{port('DPS_PORT', 7090)}"


def _tls(url: str, trust: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=trust)
    if trust is None and _is_loopback(urlsplit(url).hostname or ""):
        # A stand-in makes its certificate anew at each start, and nobody sits in between.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _shown(state: State) -> dict[str, Any]:
    """All but what a TPM would have to decrypt."""
    return {name: value for name, value in state.items() if name != "tpm"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local.device", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    register = commands.add_parser("register", help="register once, and tell how it went")
    register.add_argument("--id", required=True, help="the registration id")
    _add_proofs(register)
    register.add_argument("--payload", type=_json, metavar="JSON", help="for the webhook")
    register.add_argument("--dps", metavar="URL", help="default: the stand-in on this machine")
    register.add_argument(
        "--id-scope", default=Options().id_scope, metavar="SCOPE", help="default: %(default)s"
    )
    register.add_argument("--trust", type=Path, metavar="FILE", help="PEM that https must chain to")
    return parser


def _add_proofs(register: argparse.ArgumentParser) -> None:
    proof = register.add_mutually_exclusive_group(required=True)
    proof.add_argument("--key", type=_key, help="the device's own symmetric key")
    proof.add_argument("--group-key", type=_key, metavar="KEY", help="to derive its key from")
    proof.add_argument("--certificate", type=Path, metavar="FILE", help="PEM, with its chain")
    proof.add_argument("--endorsement-key", metavar="EK", help="of a TPM; it is not challenged")
    register.add_argument(
        "--private-key", type=Path, metavar="FILE", help="PEM; default: in the certificate's file"
    )


def _key(text: str) -> str:
    """A key in base64; argparse shows what is wrong with it, and not the key."""
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise argparse.ArgumentTypeError("a key in base64 is needed") from None
    return text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
