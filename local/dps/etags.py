"""Etags and the conditions made of them."""

import base64
import binascii
import random
from collections.abc import Iterator

from local.dps.errors import Refused
from local.dps.rules import INVALID, INVALID_ETAG
from local.dps.timestamps import SECOND


def counter(rng: random.Random) -> Iterator[int]:
    """The ever-changing part of the etags of one collection."""
    number = rng.getrandbits(32)
    while True:
        yield number
        number = (number + 1) % 2**32


def make_etag(number: int, now: int) -> str:
    """Base64 of a quoted Cosmos etag that ends in the time of the write (R)."""
    inner = f'"{number:08x}-0000-0800-0000-{now // SECOND:08x}0000"'
    return base64.b64encode(inner.encode()).decode()


class Condition:
    """An If-Match header, or the etag of a bulk item: raw (R), quoted (M: C# SDK) or `*` (E)."""

    def __init__(self, text: str) -> None:
        bare = text.strip()
        if bare.startswith('"'):
            bare = bare[1:-1] if len(bare) > 1 and bare.endswith('"') else ""
        self._any = bare == "*"
        self._etag = bare
        if not self._any and not _is_base64(bare):
            raise Refused(INVALID, INVALID_ETAG)

    def holds(self, etag: str) -> bool:
        """Whether a record with `etag` is the one that was meant."""
        return self._any or self._etag == etag


def condition(text: str | None) -> Condition | None:
    """The condition in a header that may be absent."""
    return None if text is None else Condition(text)


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return False
