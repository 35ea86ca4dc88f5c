"""A managed identity as App Service offers it, so that azure.identity works unchanged.

Set IDENTITY_ENDPOINT to `<url>/_identity/token` and IDENTITY_HEADER to the stand-in's.
Docs: How to use managed identities for App Service, REST endpoint reference.
"""

import hmac
import secrets
from collections.abc import Mapping

from local.dps.options import Options
from local.dps.replies import Reply
from local.dps.timestamps import SECOND

API_VERSION = "2019-08-01"
RESOURCE = "https://azure-devices-provisioning.net"
CLIENT_ID = "00000000-0000-0000-0000-000000000000"
LIFETIME_SECONDS = 3600


class Identity:
    """Issues tokens for DPS and knows them again until they expire."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._expiries: dict[str, int] = {}

    def token(self, headers: Mapping[str, str], query: Mapping[str, str]) -> Reply:
        """The answer of the token endpoint."""
        header = headers.get("X-IDENTITY-HEADER", "").encode()
        if not hmac.compare_digest(header, self._options.identity_header.encode()):
            return _refusal(401, "The X-IDENTITY-HEADER is not the right one.")
        if query.get("api-version") != API_VERSION:
            return _refusal(400, f"The api-version must be {API_VERSION}.")
        if query.get("resource", "").rstrip("/") != RESOURCE:
            return _refusal(400, f"The resource must be {RESOURCE}.")
        return Reply(200, self._issue())

    def knows(self, token: str) -> bool:
        """Whether this token was issued here and is still good."""
        return self._expiries.get(token, 0) > self._now()

    def _issue(self) -> dict[str, str]:
        now = self._now()
        self._expiries = {t: expiry for t, expiry in self._expiries.items() if expiry > now}
        token = secrets.token_urlsafe(32)
        self._expiries[token] = now + LIFETIME_SECONDS
        return {
            "access_token": token,
            "client_id": CLIENT_ID,
            "expires_on": str(self._expiries[token]),
            "resource": RESOURCE,
            "token_type": "Bearer",
        }

    def _now(self) -> int:
        return self._options.clock() // SECOND


def _refusal(status: int, message: str) -> Reply:
    return Reply(status, {"statusCode": status, "message": message})
