"""Places in a message, as JSON Pointers, fit to be told to whoever reads results and logs."""

import re

from shared.dps.records import MASK

# Keys are longer, or end with "=": a name that may be one is a key in the wrong place.
_NAME = re.compile(r"[\w .?$@:#-]{0,40}")


def shown(place: str) -> str:
    """The place, with asterisks for names that its sender made up and that look like no name."""
    return "/".join(step if _NAME.fullmatch(step) else MASK for step in place.split("/"))
