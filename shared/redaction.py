"""Keeps secrets out of the log, whoever writes it: the last step before a line leaves."""

import logging
import re
from collections.abc import Sequence

from shared.dps.records import MASK, SECRET_MEMBERS

# Quotes may be escaped, once or twice, where JSON lies in JSON; a key may be bytes.
_QUOTE = r"\\*[\"']"
_SIGN = rf"(?:{_QUOTE})?\s*(?:=|:|,|%3D)\s*(?:b?{_QUOTE})?"
_VALUE = r"[^\s&;,\\\"'<>)}\]]+"

_NAMES = "|".join(
    (
        *SECRET_MEMBERS,
        "account_?key",
        "client_?secret",
        "access_?token",
        "primary_key",
        "secondary_key",
        "x-functions-key",
        "x-identity-header",
        "sig",
    )
)

# What comes before a secret is kept: it tells what was hidden.
_SECRETS: Sequence[re.Pattern[str]] = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        rf"((?<![a-z])(?:{_NAMES}){_SIGN}){_VALUE}",
        rf"((?<![a-z])Bearer(?:\s+|%20)){_VALUE}",
        rf"((?:[?&]|%3F|%26)code(?:=|%3D)){_VALUE}",
        r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?=-----END|\Z)",
    )
)


def redacted(text: str) -> str:
    """The text with keys, signatures, tokens and connection strings' secrets as asterisks."""
    for secret in _SECRETS:
        text = secret.sub(rf"\1{MASK}", text)
    return text


class RedactingFormatter(logging.Formatter):
    """Formats as another formatter does, without secrets; stack traces included."""

    def __init__(self, formatter: logging.Formatter | None) -> None:
        super().__init__()
        self._formatter = formatter or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        """The line that may leave."""
        return redacted(self._formatter.format(record))


def redact_logs() -> None:
    """Puts the formatter before every handler of the root logger; again does no harm."""
    for handler in logging.getLogger().handlers:
        if not isinstance(handler.formatter, RedactingFormatter):
            handler.setFormatter(RedactingFormatter(handler.formatter))
