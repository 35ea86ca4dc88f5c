"""Distinguished names of X.509 certificates as text (RFC 4514), as DPS returns them in `info`."""

import re

# One attribute of a name, as RFC 4514 writes it: special characters are escaped. .NET puts the whole
# value in quotes instead, where a backslash could mean either.
_ATTRIBUTE = re.compile(
    r"""
    \s* (?P<type> [A-Za-z0-9.-]+ ) \s* = \s*
    (?: " (?P<quoted> (?: [^"\\] | "" )*+ ) "
      | (?P<escaped> (?: [^",;+<>\\\s] | \\. | \s+ (?= [^\s,;+] ) )*+ ) )
    \s* (?: [,;+] (?=.) | \Z )
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"(?:\\[0-9A-Fa-f]{2})+|\\.", re.DOTALL)
_COMMON_NAME_TYPES = {"cn", "2.5.4.3", "oid.2.5.4.3"}


def read_common_name(subject: str) -> str | None:
    """Returns the first common name of a subject, else None; also if the subject is not valid."""
    names, position = [], 0
    while position < len(subject):
        attribute = _ATTRIBUTE.match(subject, position)
        if not attribute:
            return None
        if attribute["type"].lower() in _COMMON_NAME_TYPES:
            names.append(_read_value(attribute))
        position = attribute.end()
    return names[0] if names else None


def _read_value(attribute: re.Match[str]) -> str:
    if attribute["quoted"] is not None:
        return attribute["quoted"].replace('""', '"')
    return _ESCAPE.sub(_unescape, attribute["escaped"])


def _unescape(escape: re.Match[str]) -> str:
    text = escape[0].replace("\\", "") or "\\"
    is_hex = len(escape[0]) > len(r"\x")
    return bytes.fromhex(text).decode(errors="replace") if is_hex else text
