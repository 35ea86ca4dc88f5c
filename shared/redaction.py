"""Keeps secrets out of the log, whoever writes it: the last step before a line leaves."""

import logging
import re
from collections.abc import Iterator, Sequence

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


class RedactingFilter(logging.Filter):
    """
    Takes the secrets out of a record before its handler sees it, and drops no record.

    A formatter would not do: exporters of telemetry read the record itself.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true; what was in the record and is no secret stays."""
        record.msg, record.args = redacted(_message(record)), None
        record.stack_info = record.stack_info and redacted(record.stack_info)
        if record.exc_info:
            trace = record.exc_text or _FORMATTER.formatException(record.exc_info)
            record.exc_text = redacted(trace)
            if record.exc_text != trace:
                # An exporter would read the exception itself.
                record.exc_info = None
        for name, value in _extra(record):
            setattr(record, name, redacted(str(value)))
        return True


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        # logging itself would print the arguments.
        return f"{record.msg} (its arguments do not fit it)"


def _extra(record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    """What a caller has added to a record that holds a secret."""
    for name in vars(record).keys() - _STANDARD:
        value = getattr(record, name)
        if redacted(str(value)) != str(value):
            yield name, value


_FORMATTER = logging.Formatter()
_STANDARD = vars(logging.makeLogRecord({})).keys() | {"message", "asctime"}


def redact_logs() -> None:
    """Puts the filter before every handler of the root logger; again does no harm."""
    for handler in logging.getLogger().handlers:
        if not any(isinstance(found, RedactingFilter) for found in handler.filters):
            handler.addFilter(RedactingFilter())
