"""Hosts, their URLs and connection strings, as settings name them."""

import re
from base64 import b64decode
from ipaddress import ip_address
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr
from pydantic_core import PydanticCustomError


def fault(message: str) -> PydanticCustomError:
    """What a validator raises; `message` follows the name of the setting."""
    return PydanticCustomError("setting", "{message}", {"message": message})


def url(value: str) -> str:
    """A host, or a URL of one, as a base URL: https, or on this machine http as well."""
    try:
        parts = urlsplit(value if "//" in value else f"//{value}")
        _ = parts.port  # raises for a port that is none
    except ValueError as error:
        raise fault("is not a host or its URL") from error
    host = parts.hostname or ""
    if not _is_host(host) or parts.path.strip("/") or set("?#@") & set(value):
        raise fault("names no host such as my-dps.azure-devices-provisioning.net")
    local = _is_loopback(host)
    scheme = parts.scheme or ("http" if local else "https")
    if scheme != "https" and not (local and scheme == "http"):
        raise fault("must be reached by https")
    return f"{scheme}://{parts.netloc.lower()}"


# Labels of RFC 1123, and names that DPS cannot have but a machine's own resolver may know.
_HOST = re.compile(r"(?!.{254})[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.IGNORECASE)


def _is_host(host: str) -> bool:
    return bool(_HOST.fullmatch(host)) or ":" in host


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _check_base64(key: str) -> None:
    try:
        b64decode(key, validate=True)
    except ValueError as error:
        raise fault("has a SharedAccessKey that is not base64") from error


class ConnectionString(BaseModel):
    """A connection string of DPS's: `HostName=…;SharedAccessKeyName=…;SharedAccessKey=…`."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    url: str
    policy: str
    key: SecretStr

    @classmethod
    def parse(cls, value: object) -> Self:
        """Reads the three parts, named without regard to case as Microsoft's SDKs do."""
        parts = dict(part.partition("=")[::2] for part in str(value).split(";") if part)
        named = {name.strip().lower(): text.strip() for name, text in parts.items()}
        missing = [
            name
            for name in ("HostName", "SharedAccessKeyName", "SharedAccessKey")
            if not named.get(name.lower())
        ]
        if missing:
            raise fault(f"lacks {', '.join(missing)}")
        _check_base64(named["sharedaccesskey"])
        return cls(
            url=url(named["hostname"]),
            policy=named["sharedaccesskeyname"],
            key=SecretStr(named["sharedaccesskey"]),
        )
