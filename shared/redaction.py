"""Masking of secrets: in documents, texts, JSON Pointers and log records."""

import json
import logging
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MASK = "****"

# Letters and digits that the name of a member with a secret contains, in any case, with any
# separator. Matched at any depth: a key in a twin, or in a member of a later API version, is one too.
_SECRET_WORDS = (
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "psk",
    "secret",
    "token",
    "credential",
    "authorization",
    "signature",
    "sharedaccess",
    "connectionstring",
    "apikey",
    "accesskey",
    "accountkey",
    "privatekey",
)
_SECRET_NAME = re.compile(rf".*({'|'.join(_SECRET_WORDS)}).*|.+keys?")
# A device's keys and certificates: what is not known here may be a misplaced key.
_ATTESTATION_NAMES = frozenset(
    [
        "type",
        "tpm",
        "endorsementkey",
        "storagerootkey",
        "symmetrickey",
        "primarykey",
        "secondarykey",
        "x509",
        "clientcertificates",
        "signingcertificates",
        "careferences",
        "primary",
        "secondary",
        "certificate",
        "info",
        "subjectname",
        "sha1thumbprint",
        "sha256thumbprint",
        "issuername",
        "notbeforeutc",
        "notafterutc",
        "serialnumber",
        "version",
    ]
)
_ATTESTATION_TYPES = ("none", "tpm", "x509", "symmetricKey")

# Quotes may be escaped once or twice in JSON nested in JSON; a key may be printed as bytes.
_QUOTE = r"(?:\\*[\"']|\\+u002[27])"
_ASSIGNMENT = (
    rf"(?:(?:{_QUOTE})?\s*(?:=|:|%3D|\\+u003d)\s*(?:b?{_QUOTE})?|{_QUOTE}\s*,\s*b?{_QUOTE})"
)
# A JSON writer may have escaped characters in the value, such as a slash or a plus.
_VALUE = r"(?:[^\s&;,\\\"'<>)}\]]++|\\+/|\\+u(?!00(?:2[267]|3c|3e))[0-9a-f]{4})+"

# The endings of names in a text.
_NAMES = "|".join(
    (
        *("pass(?:word|wd|phrase|code)", "pwd", "psk", "secret", "token", "credentials?"),
        *("signature", "connection[ _-]?string", r"(?<=\w)[ _-]?keys?", "(?<![a-z])sig"),
        "x-identity-header",
    )
)

# What a text that has the secret contains, in lower case, and the secret: looking for the words first
# is ten times as fast. The first group is kept: it says what was masked.
_SECRETS: Sequence[tuple[Sequence[str], re.Pattern[str]]] = tuple(
    (words.split(), re.compile(pattern, re.IGNORECASE | re.DOTALL))
    for words, pattern in (
        (
            "pass pwd psk secret token credential sig connection key x-identity",
            rf"((?:{_NAMES}){_ASSIGNMENT}){_VALUE}",
        ),
        ("auth", rf"((?<![a-z])authorization{_ASSIGNMENT}\w+(?:\s+|%20)){_VALUE}"),
        ("bearer", rf"((?<![a-z])Bearer(?:\s+|%20)){_VALUE}"),
        ("eyj", r"((?<![\w-])eyJ)[\w-]+\.[\w-]+\.[\w-]*"),  # a token (RFC 7519)
        ("code", rf"((?:[?&]|%3F|%26|\\u0026)code(?:=|%3D|\\+u003d)){_VALUE}"),
        ("-----begin", r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?=-----END|\Z)"),
        ("attestation", rf"(attestation{_QUOTE}\s*:).*"),  # it may have any shape
    )
)
# From the start of a word, so that each is read once.
_URL = re.compile(r"(?<![^\s\"'<>])([^\s\"'<>]*?(?:/|\\/|\\\\\\/){2})([^\s\"'<>]*+)")
# Base64 that is padded, as keys of 16, 32 and 64 bytes are. From its start, as above.
_ESCAPED = r"(?:/|u002b)"
_PADDED = re.compile(
    rf"(?<![\w+/-])(?<!%2[bf])(?!(?<=\\){_ESCAPED})"
    rf"(?:[\w+/-]|%2[bf]|\\{{1,3}}{_ESCAPED}){{22,}}+(?:=|%3d|\\{{1,3}}u003d){{1,2}}(?![\w=%])",
    re.ASCII | re.IGNORECASE,
)
_PADDING = ("=", "%3d", "u003d")
_UNPADDED = re.compile(r"(?=.*[0-9])(?=.*[A-Z])(?=.*[a-z])(?:[A-Za-z0-9+/]{4}){6,}")


def redact(text: str) -> str:
    """
    Returns the text with secrets masked.

    They are keys, passwords, signatures and tokens that follow their name; user name, query and
    fragment of a URL; and base64 that looks like a key.
    """
    if "//" in text or "\\/" in text:
        text = _URL.sub(lambda match: match[1] + _masked_address(match[2]), text)
    lowered = text.lower()
    for words, secret in _SECRETS:
        if any(word in lowered for word in words):
            text = secret.sub(rf"\1{MASK}", text)
    return _PADDED.sub(_masked_key, text) if any(end in lowered for end in _PADDING) else text


def _masked_address(address: str) -> str:
    """Returns what follows `//` in a URL, without user name, query and fragment."""
    start, separator, _ = re.split(r"([?#]|\Z)", address, maxsplit=1)
    user, at, host = start.rpartition("@")
    return (MASK if user else "") + at + host + (separator and separator + MASK)


def _masked_key(match: re.Match[str]) -> str:
    """Returns the mask for base64, unless it is a text in base64, as etags and page tokens are."""
    text = match[0].translate({ord("-"): "+", ord("_"): "/"})
    try:
        is_text = b64decode(text, validate=True).decode("ascii").isprintable()
    except ValueError:
        is_text = False
    return match[0] if is_text else MASK


def mask_query(url: str) -> str:
    """Returns the URL with its query masked, in the form in which DPS masks it."""
    return re.sub(r"\?.*", f"?{MASK}", url, flags=re.DOTALL)


def mask_secrets(node: Any) -> Any:
    """
    Returns a copy of a JSON document with secrets masked.

    They are: everything in an `attestation`, except names and types that DPS has; the values of
    members that are named like secrets; and in every other text and name what `redact` finds. A text
    that is JSON is masked as JSON.
    """
    if isinstance(node, Mapping):
        return {_mask_text(name): _masked_member(name, value) for name, value in node.items()}
    if isinstance(node, list):
        return [mask_secrets(item) for item in node]
    return _mask_text(node) if isinstance(node, str) else node


def _masked_member(name: str, value: Any) -> Any:
    letters = re.sub(r"[\W_]", "", name.casefold())
    if letters == "attestation":
        return _mask_attestation(value)
    # `data_base64` is the payload of a CloudEvent: it may contain anything.
    if _SECRET_NAME.fullmatch(letters) or name == "data_base64":
        return _masked(value)
    if letters.endswith(("url", "uri")) and isinstance(value, str):
        # It may have no scheme, or a query with blanks.
        scheme, separator, address = ("", "", value) if "//" not in value else value.partition("//")
        return _mask_text(scheme + separator + _masked_address(address))
    return mask_secrets(value)


def _mask_attestation(node: Any) -> Any:
    """Returns a copy with every text, number and name masked, except names and types of DPS's."""
    if isinstance(node, Mapping):
        return {
            (name if name.casefold() in _ATTESTATION_NAMES else MASK): (
                value
                if name == "type" and value in _ATTESTATION_TYPES
                else _mask_attestation(value)
            )
            for name, value in node.items()
        }
    if isinstance(node, list):
        return [_mask_attestation(item) for item in node]
    return _masked(node)


def _masked(value: Any) -> Any:
    """Returns the mask, for a value that says something."""
    return MASK if value and value is not True else value


# JSON within a text, or JSON that is cut off: secrets in it may have any shape.
_JSON_START = re.compile(r"[\[{]\s*\\*[\"\[{]")


def _mask_text(text: str) -> str:
    if text.lstrip()[:1] in ("{", "[", '"'):
        try:
            document = json.loads(text)
            masked = mask_secrets(document)
            return redact(text) if masked == document else json.dumps(masked, ensure_ascii=False)
        except ValueError:
            pass  # not JSON
        except RecursionError:
            return MASK
    if _UNPADDED.fullmatch(text):
        return _UNPADDED.sub(_masked_key, text)
    start = _JSON_START.search(text)
    return redact(text[: start.start()]) + MASK if start else redact(text)


def masked_paths(node: Any, steps: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """Yields the path of every text and name in a JSON document that contains a mask."""
    if isinstance(node, str) and MASK in node:
        yield steps
    if isinstance(node, Mapping):
        for name, value in node.items():
            if MASK in name:
                yield (*steps, name)
            yield from masked_paths(value, (*steps, name))
    if isinstance(node, list):
        for position, item in enumerate(node):
            yield from masked_paths(item, (*steps, position))


# Keys are longer, or have one of these characters of base64.
_NAME = re.compile(r"[^=+]{0,40}", re.DOTALL)


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
