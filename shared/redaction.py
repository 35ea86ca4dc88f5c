"""Keeps secrets out of the log, whoever writes it: the last step before a line leaves."""

import logging
import re
from collections.abc import Iterator, Sequence

from shared.dps.records import MASK, SECRET_NAMES

# Quotes may be escaped, once or twice, where JSON lies in JSON; a key may be bytes.
_QUOTE = r"(?:\\*[\"']|\\+u002[27])"
_SIGN = rf"(?:{_QUOTE})?\s*(?:=|:|,|%3D|\\+u003d)\s*(?:b?{_QUOTE})?"
# With what a writer of JSON may have escaped in it, such as a slash or a plus.
_VALUE = r"(?:[^\s&;,\\\"'<>)}\]]++|\\+/|\\+u(?!00(?:2[267]|3c|3e))[0-9a-f]{4})+"

_NAMES = "|".join(
    (
        *(name.replace(" ", "[_-]?") for name in SECRET_NAMES),
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
        rf"((?:[?&]|%3F|%26|\\u0026)code(?:=|%3D|\\+u003d)){_VALUE}",
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
        """
        Always true. The message holds its arguments afterwards, and of an exception that tells a
        secret its trace alone is left.
        """
        record.msg, record.args = redacted(_message(record)), None
        record.stack_info = record.stack_info and redacted(record.stack_info)
        if record.exc_info or record.exc_text:
            trace = record.exc_text or _FORMATTER.formatException(record.exc_info or _NONE)
            record.exc_text = redacted(trace)
            if record.exc_text != trace:
                # An exporter would read the exception itself.
                record.exc_info = None
        for name, text in list(_extra(record)):
            setattr(record, name, text)
        return True


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001  logging would print the arguments; nobody's work fails for it
        return f"{_text(record.msg)} (its arguments do not fit it)"


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  a text of its own may fail in any way
        return f"<{type(value).__name__}>"


def _extra(record: logging.LogRecord) -> Iterator[tuple[str, str]]:
    """What a caller has added to a record and holds a secret, as it may leave."""
    for name in vars(record).keys() - _STANDARD:
        text = _text(getattr(record, name))
        if redacted(text) != text:
            yield name, redacted(text)
        elif redacted(f"{name}={text}") != f"{name}={text}":
            yield name, MASK


_FORMATTER = logging.Formatter()
_NONE = (None, None, None)
_STANDARD = vars(logging.makeLogRecord({})).keys() | {"message", "asctime"}


def redact_logs() -> None:
    """Puts the filter before every handler of the root logger; again does no harm."""
    for handler in logging.getLogger().handlers:
        if not any(isinstance(found, RedactingFilter) for found in handler.filters):
            handler.addFilter(RedactingFilter())
