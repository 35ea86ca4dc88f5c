"""A record as DPS sends and takes it, and its print without secrets."""

import json
import re
from collections.abc import Mapping
from typing import Any

MASK = "****"

# By name, wherever they stand: a key in a twin or in a member of a later API is a key all the same.
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
_ID_MEMBERS = ("registrationId", "enrollmentGroupId")
READ_ONLY_MEMBERS = frozenset(
    {"registrationState", "createdDateTimeUtc", "lastUpdatedDateTimeUtc", "etag"}
)
"""What DPS writes itself into an enrollment or a group."""


def masked(document: Any) -> Any:
    """A copy with key material, and the query of webhook URLs (a function key), as asterisks."""
    if isinstance(document, Mapping):
        return {name: _masked_member(name, value) for name, value in document.items()}
    if isinstance(document, list):
        return [masked(item) for item in document]
    return document


def _masked_member(name: str, value: Any) -> Any:
    letters = re.sub("[^a-z]", "", name.lower())  # primary_key is one as well
    if letters in _SECRET_MEMBERS and value:
        return MASK
    if letters == "webhookurl" and isinstance(value, str):
        # The form DPS itself uses in its allocation requests.
        return re.sub(r"\?.*", "?" + MASK, value, flags=re.DOTALL)
    return masked(value)


class Record(dict[str, Any]):
    """
    A JSON object of DPS's, whole and unread: members this app does not know stay as they are.

    `str(record)` is readable JSON, `repr(record)` one line; neither shows a secret.
    `json.dumps(record)` is the record itself, secrets included.
    """

    @property
    def etag(self) -> str | None:
        """The entity tag as DPS gives it: a base64 text, without quotes."""
        return self.get("etag")

    @property
    def id(self) -> str | None:
        """The registration id or enrollment group id."""
        return next((self[name] for name in _ID_MEMBERS if name in self), None)

    def __str__(self) -> str:
        return json.dumps(masked(self), indent=2, ensure_ascii=False)

    def __repr__(self) -> str:
        return f"Record({masked(self)!r})"
