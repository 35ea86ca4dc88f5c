"""Authorization of service API callers: shared access signatures and managed identity tokens."""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from local.dps.errors import FORBIDDEN, UNAUTHORIZED, ApiError
from local.dps.operations import Response
from local.dps.options import AccessPolicy, Options, Right
from local.dps.timestamps import SECOND
from shared.shared_access import Signature, read_signature

TOKEN_API_VERSION = "2019-08-01"  # noqa: S105 - not a secret
RESOURCE = "https://azure-devices-provisioning.net"
CLIENT_ID = "00000000-0000-0000-0000-000000000000"
TOKEN_LIFETIME_SECONDS = 3600


class ManagedIdentity:
    """
    The token endpoint of a managed identity on App Service, for use with azure.identity.

    Set IDENTITY_ENDPOINT to `<url>/_identity/token` and IDENTITY_HEADER to that of the options.
    Documented: How to use managed identities for App Service, REST endpoint reference.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._expiries: dict[str, int] = {}

    def get_token(self, headers: Mapping[str, str], query: Mapping[str, str]) -> Response:
        """Returns the response of the token endpoint."""
        header = headers.get("X-IDENTITY-HEADER", "").encode()
        if not hmac.compare_digest(header, self._options.identity_header.encode()):
            return _token_error(401, "The X-IDENTITY-HEADER must be that of the stand-in.")
        if query.get("api-version") != TOKEN_API_VERSION:
            return _token_error(400, f"The api-version must be {TOKEN_API_VERSION}.")
        if query.get("resource", "").rstrip("/") != RESOURCE:
            return _token_error(400, f"The resource must be {RESOURCE}.")
        return Response(200, self._issue())

    def is_valid(self, token: str) -> bool:
        """Returns whether the token was issued here and has not expired."""
        return self._expiries.get(token, 0) > self._now()

    def _issue(self) -> dict[str, str]:
        now = self._now()
        self._expiries = {t: expiry for t, expiry in self._expiries.items() if expiry > now}
        token = secrets.token_urlsafe(32)
        self._expiries[token] = now + TOKEN_LIFETIME_SECONDS
        return {
            "access_token": token,
            "client_id": CLIENT_ID,
            "expires_on": str(self._expiries[token]),
            "resource": RESOURCE,
            "token_type": "Bearer",
        }

    def _now(self) -> int:
        return self._options.clock() // SECOND


def _token_error(status: int, message: str) -> Response:
    return Response(status, {"statusCode": status, "message": message})


@dataclass(frozen=True, kw_only=True)
class Authorization:
    """The check of the Authorization header. Documented: Control access to DPS."""

    options: Options
    identity: ManagedIdentity

    def check(self, header: str | None, *, host: str, path: str, right: Right) -> None:
        """Raises ApiError 401 for an unknown caller and 403 for one without `right` (SDK)."""
        signature = read_signature(header)
        if signature:
            rights = self._rights_of_signature(signature, host, path)
        else:
            rights = self._rights_of_token(header)
        if rights is None:
            raise ApiError(UNAUTHORIZED)
        if right not in rights:
            raise ApiError(FORBIDDEN)

    def _rights_of_token(self, header: str | None) -> frozenset[Right] | None:
        """Returns all rights for a valid token (assumed: as for the role Data Contributor)."""
        scheme, _, token = (header or "").strip().partition(" ")
        is_known = scheme.lower() == "bearer" and self.identity.is_valid(token.strip())
        return frozenset(Right) if is_known else None

    def _rights_of_signature(
        self, signature: Signature, host: str, path: str
    ) -> frozenset[Right] | None:
        policy = self._find_policy(signature)
        if policy is None or not signature.is_in_time(self.options.clock() / SECOND):
            return None
        return policy.rights if self._covers(signature.resource, host, path) else None

    def _find_policy(self, signature: Signature) -> AccessPolicy | None:
        """Returns the policy with whose key the signature was made; `skn` may be missing."""
        for policy in self.options.policies:
            is_named = signature.key_name in (None, policy.name)
            if is_named and signature.is_signed_by((policy.primary_key, policy.secondary_key)):
                return policy
        return None

    def _covers(self, resource: str, host: str, path: str) -> bool:
        """
        Returns whether the signed resource is a prefix of host and path, ignoring case.

        The host may be signed with or without its port. SDK: azure-sdk-for-python signs the
        endpoint as configured, including `http://`.
        """
        prefix = resource.lower().removeprefix("https://").removeprefix("http://")
        hosts = (host, host.rpartition(":")[0], *self.options.host_names)
        return bool(prefix) and any((h + path).lower().startswith(prefix) for h in hosts if h)
