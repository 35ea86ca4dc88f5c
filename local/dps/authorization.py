"""Who of the service's callers may do what: shared access signatures and bearer tokens."""

from dataclasses import dataclass

from local.dps.errors import Refused
from local.dps.identity import Identity
from local.dps.options import AccessPolicy, Options, Right
from local.dps.rules import FORBIDDEN, UNAUTHORIZED
from local.dps.signatures import Signature, read_signature


@dataclass(frozen=True, kw_only=True)
class Authorization:
    """Checks the Authorization header of requests (docs: How to control access to DPS)."""

    options: Options
    identity: Identity

    def check(self, header: str | None, *, host: str, path: str, right: Right) -> None:
        """401 if the caller is nobody we know, 403 if it is one without `right` (M)."""
        signature = read_signature(header)
        rights = self._signed(signature, host, path) if signature else self._token(header)
        if rights is None:
            raise Refused(UNAUTHORIZED)
        if right not in rights:
            raise Refused(FORBIDDEN)

    def _token(self, header: str | None) -> frozenset[Right] | None:
        """?: whoever has a token may do everything, as the Data Contributor role may."""
        scheme, _, token = (header or "").strip().partition(" ")
        is_known = scheme.lower() == "bearer" and self.identity.knows(token.strip())
        return frozenset(Right) if is_known else None

    def _signed(self, signature: Signature, host: str, path: str) -> frozenset[Right] | None:
        policy = self._signer(signature)
        if policy is None or not signature.is_in_time(self.options.clock()):
            return None
        return policy.rights if self._is_meant_for(signature.resource, host, path) else None

    def _signer(self, signature: Signature) -> AccessPolicy | None:
        """The policy with whose primary or secondary key it was signed; `skn` may be missing."""
        for policy in self.options.policies:
            is_meant = signature.key_name in (None, policy.name)
            if is_meant and signature.is_by((policy.primary_key, policy.secondary_key)):
                return policy
        return None

    def _is_meant_for(self, resource: str, host: str, path: str) -> bool:
        """A prefix of host and path, without case.

        Of the host with or without its port, and of the whole URL: azure-sdk-for-python signs
        its endpoint as it was given, `http://` included.
        """
        signed = resource.lower().removeprefix("https://").removeprefix("http://")
        hosts = (host, host.rpartition(":")[0], *self.options.host_names)
        return bool(signed) and any((h + path).lower().startswith(signed) for h in hosts if h)
