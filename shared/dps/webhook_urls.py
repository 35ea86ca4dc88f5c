"""
URLs of allocation webhooks: the key in the query is masked by DPS in responses, as `…?****`.

Seen in github.com/Azure/azure-powershell/issues/12154. Whether DPS restores the query of a masked URL
that is written back is not documented, so it is completed from the settings or refused.
"""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from shared.errors import InvalidRequestError
from shared.json_documents import pointer
from shared.redaction import MASK, mask_query
from shared.settings import allocation_webhook_urls, webhook_address

_DEFINITION, _URL = "customAllocationDefinition", "webhookUrl"
_FAULT = (
    "is masked, and its key would be lost: send the complete URL, or add that to the setting "
    "ALLOCATION_WEBHOOK_URLS, from which the app completes it"
)

JsonObject = Mapping[str, Any]


def find_url_fault(url: str) -> str | None:
    """
    Returns the fault of a URL that is masked and not in the settings; `None` if it has none.

    Raises `NotConfiguredError` if the setting is needed and invalid.
    """
    return _FAULT if _completed(url) is None else None


def _completed(url: str) -> str | None:
    """Returns the URL, completed if it is masked; `None` if the settings do not have it."""
    if MASK not in unquote(url):
        return url
    for own in allocation_webhook_urls():
        if webhook_address(own.get_secret_value()) == webhook_address(url):
            return own.get_secret_value()
    return None


def find_document_faults(document: Any, *, at: tuple[object, ...] = ()) -> dict[str, str]:
    """Returns the fault of a record's webhook URL by JSON Pointer; `at` is the record's path."""
    url = _webhook_url(document)
    fault = find_url_fault(url) if url else None
    return {pointer(*at, _DEFINITION, _URL): fault} if fault else {}


def complete_operation(operation: JsonObject, member: str) -> JsonObject:
    """Returns a bulk operation with its records, in `member`, completed as by `complete_document`."""
    records = operation[member]
    faults: dict[str, str] = {}
    for position, record in enumerate(records):
        faults |= find_document_faults(record, at=(member, position))
    if faults:
        raise InvalidRequestError(faults)
    return {**operation, member: [complete_document(record) for record in records]}


def complete_document(document: Any) -> Any:
    """Returns a record with a masked webhook URL completed; raises `InvalidRequestError`."""
    if faults := find_document_faults(document):
        raise InvalidRequestError(faults)
    return _replace_url(document, _completed)


def mask_document(document: Any) -> Any:
    """Returns a record for a caller, with the query of its webhook URL masked as DPS masks it."""
    return _replace_url(document, mask_query)


def _webhook_url(document: Any) -> str | None:
    definition = document.get(_DEFINITION) if isinstance(document, Mapping) else None
    url = definition.get(_URL) if isinstance(definition, Mapping) else None
    return url if isinstance(url, str) else None


def _replace_url(document: Any, change: Callable[[str], str | None]) -> Any:
    url = _webhook_url(document)
    if url is None:
        return document
    return {**document, _DEFINITION: {**document[_DEFINITION], _URL: change(url)}}
