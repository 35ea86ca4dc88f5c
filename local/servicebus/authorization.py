"""Shared access signatures, as a token carries them.

learn.microsoft.com: "Service Bus access control with Shared Access Signatures".
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import unquote_plus

_PREFIX = "SharedAccessSignature "


def is_valid(token: object, keys: Mapping[str, str], now: float) -> bool:
    """Whether one of `keys`, by name, has signed `token`, and it has not expired."""
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
