"""Changing the body of a rejected message before it is replayed."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from shared.documents import merged, pointer
from shared.dps.records import MASK
from shared.errors import InvalidRequestError
from shared.messaging.rejections import RejectedMessage


def patched(found: RejectedMessage, merge_patch: Mapping[str, Any]) -> bytes:
    """
    The body with a JSON Merge Patch (RFC 7396) laid on it.

    Raises `InvalidRequestError` for a body that cannot be read, and for asterisks in the patch: they
    stand where a listing hides a key, and would take its place.
    """
    if found.fault is not None:
        raise InvalidRequestError(
            {"": f"the body of the message {found.fault}"}, "The message cannot be patched."
        )
    faults = {
        pointer(*steps): "is hidden here, and may not be sent" for steps in _hidden(merge_patch)
    }
    if faults:
        raise InvalidRequestError(faults)
    return json.dumps(merged(found.content, merge_patch)).encode()


def _hidden(node: Any, steps: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    if isinstance(node, str) and MASK in node:
        yield steps
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from _hidden(value, (*steps, name))
    if isinstance(node, list):
        for position, item in enumerate(node):
            yield from _hidden(item, (*steps, position))
