"""
Claims-based security: the $cbs node checks the shared access signatures of clients.

Their format: learn.microsoft.com, "Service Bus access control with Shared Access Signatures".
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import unquote_plus

from local.servicebus.options import BrokerOptions
from local.servicebus.requests import Request, Response

_PREFIX = "SharedAccessSignature "
ACCEPTED = Response(202, "Accepted")
_REFUSED = Response(401, "InvalidSignature: The token has an invalid signature.")


def put_token(options: BrokerOptions, request: Request) -> Response:
    """Accepts or refuses the token in a put-token request."""
    # Clients sign with the real time, so the clock that tests advance does not count here.
    is_accepted = not options.keys or _is_valid(request.body, options.keys, options.clock())
    return ACCEPTED if is_accepted else _REFUSED


def _is_valid(token: object, keys: Mapping[str, str], now: float) -> bool:
    """Returns whether `token` is signed with one of `keys` and has not expired."""
    if not isinstance(token, str) or not token.startswith(_PREFIX):
        return False
    parts = (part.partition("=") for part in token.removeprefix(_PREFIX).split("&"))
    fields = {name: value for name, _, value in parts}
    key, expiry = keys.get(unquote_plus(fields.get("skn", ""))), fields.get("se", "")
    if key is None or not expiry.isdecimal() or int(expiry) <= now:
        return False
    signed = f"{fields.get('sr', '')}\n{expiry}".encode()
    signature = base64.b64encode(hmac.digest(key.encode(), signed, hashlib.sha256))
    return hmac.compare_digest(signature, unquote_plus(fields.get("sig", "")).encode())
