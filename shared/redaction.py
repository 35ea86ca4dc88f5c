"""Masking of secrets: in documents, texts, JSON Pointers and log records."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MASK = "****"

# Matched at any depth: a key in a twin, or in a member of a later API version, is a key too.
SECRET_NAMES = (
    "primary key",
    "secondary key",
    "authentication key",
    "shared access key",
    "account key",
    "client secret",
    "access token",
)
_SECRET_MEMBERS = frozenset(name.replace(" ", "") for name in SECRET_NAMES)

# Quotes may be escaped once or twice in JSON nested in JSON; a key may be printed as bytes.
_QUOTE = r"(?:\\*[\"']|\\+u002[27])"
_SEPARATOR = rf"(?:{_QUOTE})?\s*(?:=|:|,|%3D|\\+u003d)\s*(?:b?{_QUOTE})?"
# A JSON writer may have escaped characters in the value, such as a slash or a plus.
_VALUE = r"(?:[^\s&;,\\\"'<>)}\]]++|\\+/|\\+u(?!00(?:2[267]|3c|3e))[0-9a-f]{4})+"

_NAMES = "|".join(
    (
        *(name.replace(" ", "[_-]?") for name in SECRET_NAMES),
        "x-functions-key",
        "x-identity-header",
        "sig",
    )
)

# The first group is kept: it says what was masked.
_SECRETS: Sequence[re.Pattern[str]] = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        rf"((?<![a-z])(?:{_NAMES}){_SEPARATOR}){_VALUE}",
        rf"((?<![a-z])Bearer(?:\s+|%20)){_VALUE}",
        rf"((?:[?&]|%3F|%26|\\u0026)code(?:=|%3D|\\+u003d)){_VALUE}",
        r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?=-----END|\Z)",
    )
)


def redact(text: str) -> str:
    """Returns the text with keys, signatures, tokens and connection string secrets masked."""
    for secret in _SECRETS:
        text = secret.sub(rf"\1{MASK}", text)
    return text


def redact_texts(node: Any) -> Any:
    """Returns a copy of a JSON document with `redact` applied to every text: it may nest JSON."""
    if isinstance(node, Mapping):
        return {
            # The payload of a CloudEvent: it may contain anything.
            name: MASK if name == "data_base64" else redact_texts(value)
            for name, value in node.items()
        }
    if isinstance(node, list):
        return [redact_texts(item) for item in node]
    return redact(node) if isinstance(node, str) else node


def mask_secrets(document: Any) -> Any:
    """Returns a copy with keys, and the query of webhook URLs (a function key), masked."""
    if isinstance(document, Mapping):
        return {name: _masked_member(name, value) for name, value in document.items()}
    if isinstance(document, list):
        return [mask_secrets(item) for item in document]
    return document


def _masked_member(name: str, value: Any) -> Any:
    letters = re.sub("[^a-z]", "", name.lower())  # matches primary_key too
    if letters in _SECRET_MEMBERS and value:
        return MASK
    if letters == "webhookurl" and isinstance(value, str):
        # DPS masks it in the same form in its allocation requests.
        return re.sub(r"\?.*", "?" + MASK, value, flags=re.DOTALL)
    return mask_secrets(value)


def masked_paths(node: Any, steps: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """Yields the path of every text in a JSON document that contains a mask."""
    if isinstance(node, str) and MASK in node:
        yield steps
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from masked_paths(value, (*steps, name))
    if isinstance(node, list):
        for position, item in enumerate(node):
            yield from masked_paths(item, (*steps, position))


# Keys are longer or end with "=".
_NAME = re.compile(r"[\w .?$@:#-]{0,40}")


def mask_unknown_names(pointer: str) -> str:
    """Returns the JSON Pointer with suspicious member names masked: they may be misplaced keys."""
    return "/".join(step if _NAME.fullmatch(step) else MASK for step in pointer.split("/"))


class RedactingFilter(logging.Filter):
    """
    Masks secrets in log records before a handler sees them.

    A formatter is not enough: telemetry exporters read the record itself.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """
        Masks the record in place; always returns true.

        The arguments are merged into the message. An exception whose text has a secret is reduced
        to its masked traceback.
        """
        record.msg, record.args = redact(_message(record)), None
        record.stack_info = record.stack_info and redact(record.stack_info)
        if record.exc_info or record.exc_text:
            trace = record.exc_text or _FORMATTER.formatException(record.exc_info or _NO_EXCEPTION)
            record.exc_text = redact(trace)
            if record.exc_text != trace:
                # An exporter would read the exception itself.
                record.exc_info = None
        for name, text in list(_masked_extras(record)):
            setattr(record, name, text)
        return True


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001  logging would print the arguments; logging must not raise
        return f"{_text(record.msg)} (its arguments do not match the format)"


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  __str__ may raise anything
        return f"<{type(value).__name__}>"


def _masked_extras(record: logging.LogRecord) -> Iterator[tuple[str, str]]:
    """Yields the record's extra attributes that have a secret, masked."""
    for name in vars(record).keys() - _STANDARD_ATTRIBUTES:
        text = _text(getattr(record, name))
        if redact(text) != text:
            yield name, redact(text)
        elif redact(f"{name}={text}") != f"{name}={text}":
            yield name, MASK


_FORMATTER = logging.Formatter()
_NO_EXCEPTION = (None, None, None)
_STANDARD_ATTRIBUTES = vars(logging.makeLogRecord({})).keys() | {"message", "asctime"}


def redact_logs() -> None:
    """Adds the filter to every handler of the root logger that does not have it."""
    for handler in logging.getLogger().handlers:
        if not any(isinstance(existing, RedactingFilter) for existing in handler.filters):
            handler.addFilter(RedactingFilter())
