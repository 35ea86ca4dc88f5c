"""Hosts, connection strings and webhook URLs, as settings have them."""

import re
from base64 import b64decode
from ipaddress import ip_address
from typing import Self
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr
from pydantic_core import PydanticCustomError

from shared.redaction import MASK


def validation_error(message: str) -> PydanticCustomError:
    """Returns the error for a validator to raise; `message` is a predicate for the setting."""
    return PydanticCustomError("setting", "{message}", {"message": message})


def parse_host_url(value: str) -> str:
    """Returns the base URL for a host name or URL. Only a loopback host may use http."""
    try:
        parts = urlsplit(value if "//" in value else f"//{value}")
        _ = parts.port  # raises ValueError for an invalid port
    except ValueError as error:
        raise validation_error("must be a host name or a URL") from error
    host = parts.hostname or ""
    is_host = _HOST.fullmatch(host) or ":" in host
    if not is_host or parts.path.strip("/") or set("?#@") & set(value):
        raise validation_error("must be a host name such as my-dps.azure-devices-provisioning.net")
    is_loopback = _is_loopback(host)
    scheme = parts.scheme or ("http" if is_loopback else "https")
    if scheme != "https" and not (is_loopback and scheme == "http"):
        raise validation_error("must use https")
    return f"{scheme}://{parts.netloc.lower()}"


# RFC 1123 labels, and underscores, which local resolvers accept.
_HOST = re.compile(r"(?!.{254})[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.IGNORECASE)


def check_webhook_urls(values: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    """Returns the URLs; raises a validation error unless each is complete and differs in its path."""
    urls = [value.get_secret_value() for value in values]
    for number, url in enumerate(urls, start=1):
        if not _WEBHOOK_URL.fullmatch(url) or MASK in unquote(url):
            raise validation_error(
                f"must have complete URLs, such as https://…?code=…, not masked; number {number} is "
                "not one. Write a comma in a URL as %2C"
            )
    if len({webhook_address(url) for url in urls}) < len(urls):
        raise validation_error("must not have two URLs that are equal up to the query")
    return values


# No user name, which DPS would not mask, and no fragment, which is never sent.
_WEBHOOK_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?\?[^\s#]+", re.IGNORECASE)


def webhook_address(url: str) -> str:
    """Returns what identifies a webhook: the URL without its query, scheme and host in lower case."""
    address = url.partition("?")[0].strip()
    scheme, separator, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host}".lower() + f"{slash or '/'}{path}"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def decode_key(key: str) -> bytes:
    """Returns the bytes of a key; raises a validation error if it is not in base64."""
    try:
        return b64decode(key, validate=True)
    except ValueError as error:
        raise validation_error("must have a key in base64") from error


def connection_string_parts(text: str) -> dict[str, str]:
    """Returns the values of `Name=value;…` by name in lower case."""
    parts = dict(part.partition("=")[::2] for part in text.split(";") if part)
    return {name.strip().lower(): value.strip() for name, value in parts.items()}


def check_service_bus_connection_string(value: SecretStr) -> SecretStr:
    """Returns the value; raises a validation error if it is not a namespace's connection string."""
    parts = connection_string_parts(value.get_secret_value())
    if not parts.get("endpoint", "").lower().startswith("sb://"):
        raise validation_error("must have Endpoint=sb://…")
    if "sharedaccesssignature" not in parts and not (
        {"sharedaccesskeyname", "sharedaccesskey"} <= parts.keys()
    ):
        raise validation_error("must have SharedAccessKeyName and SharedAccessKey")
    return value


class ConnectionString(BaseModel):
    """A DPS connection string: `HostName=…;SharedAccessKeyName=…;SharedAccessKey=…`."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    url: str
    policy: str
    key: SecretStr

    @classmethod
    def parse(cls, value: object) -> Self:
        """Parses the three parts; their names are case-insensitive, as in Microsoft's SDKs."""
        parts = connection_string_parts(str(value))
        missing = [
            name
            for name in ("HostName", "SharedAccessKeyName", "SharedAccessKey")
            if not parts.get(name.lower())
        ]
        if missing:
            raise validation_error(f"must have {', '.join(missing)}")
        decode_key(parts["sharedaccesskey"])
        return cls(
            url=parse_host_url(parts["hostname"]),
            policy=parts["sharedaccesskeyname"],
            key=SecretStr(parts["sharedaccesskey"]),
        )
