"""Checks of responses, and the messages of failed ones."""

import base64
import binascii
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import httpx
from azure.core.exceptions import AzureError, HttpResponseError

from local.demo.steps import CheckFailedError

_CODE_HEADER = "x-ms-error-code"
_MIN_KEY_BYTES = 16
# Members that DPS sets itself; the attestation is compared separately.
_SET_BY_DPS = {"registrationState", "createdDateTimeUtc", "lastUpdatedDateTimeUtc", "etag"}
_NOT_COMPARED = _SET_BY_DPS | {"attestation", "deviceId"}


def expect(name: str, actual: object, expected: object) -> None:
    """Raises CheckFailedError if the values differ; not for documents, which may hold secrets."""
    if actual != expected:
        raise CheckFailedError(f"{name}: expected {expected}, got {actual}")


def expect_document(response: httpx.Response, status: int = 200) -> Any:
    """Returns the JSON of a response; raises CheckFailedError if it has another status."""
    document = _json(response)
    if response.status_code != status:
        actual = _describe_error(response.status_code, document)
        raise CheckFailedError(f"expected {status}, got {actual}")
    return document


def expect_error(call: Callable[[], object], status: int, code: int) -> str:
    """Makes an SDK call that must fail with this status and DPS error code."""
    try:
        call()
    except HttpResponseError as error:
        return _check_error(error, status, code)
    raise CheckFailedError(f"expected the error {code}, got a success")


async def expect_error_aio(call: Awaitable[object], status: int, code: int) -> str:
    """Awaits an SDK call that must fail with this status and DPS error code."""
    try:
        await call
    except HttpResponseError as error:
        return _check_error(error, status, code)
    raise CheckFailedError(f"expected the error {code}, got a success")


def _check_error(error: HttpResponseError, status: int, code: int) -> str:
    response: Any = error.response
    actual = response.headers.get(_CODE_HEADER) if response is not None else None
    expect("status and code", (error.status_code, actual), (status, str(code)))
    return f"HTTP {status}, DPS error code {code}"


def describe_failure(error: Exception) -> str:
    """Returns in one line why a step failed."""
    if isinstance(error, CheckFailedError):
        return str(error)
    if isinstance(error, HttpResponseError) and error.response is not None:
        return _describe_error(error.status_code or 0, _json(error.response))
    text = error.message if isinstance(error, AzureError) else str(error)
    return f"{type(error).__name__}: {text}"


def _json(response: Any) -> Any:
    """Returns the JSON of a response of httpx or the SDK, or None if it has none."""
    try:
        return response.json()
    except ValueError:
        return None


def _describe_error(status: int, document: Any) -> str:
    """Describes an error response, with every fault in `info`."""
    if not isinstance(document, Mapping):
        return f"HTTP {status}"
    summary = f"HTTP {status}, {document.get('errorCode')}: {document.get('message')}"
    faults = (document.get("info") or {}).items()
    return " ".join([summary, *(f"{pointer} {fault};" for pointer, fault in faults)]).rstrip(";")


def expect_two_keys(attestation: Mapping[str, Any]) -> tuple[str, str]:
    """Returns the keys of a symmetric key attestation; they must be base64 and not the same."""
    keys = attestation.get("symmetricKey") or {}
    primary, secondary = keys.get("primaryKey", ""), keys.get("secondaryKey", "")
    expect("both keys valid", [_is_key(primary), _is_key(secondary)], [True, True])
    expect("two different keys", primary != secondary, expected=True)
    return primary, secondary


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) >= _MIN_KEY_BYTES
    except binascii.Error:
        return False


def expect_same(name: str, sent: Any, stored: Any) -> None:
    """Raises CheckFailedError with the pointers, but not the values, that differ."""
    if pointers := list(_differences(sent, stored)):
        raise CheckFailedError(f"{name}: stored differently than sent: {', '.join(pointers)}")


def expect_same_record(id_: str, sent: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    """Compares a record's members, except those that DPS sets and the attestation."""
    expect_same(id_, {name: sent[name] for name in sent if name not in _NOT_COMPARED}, stored)
    # DPS treats an empty deviceId as none.
    expect_same(id_, {"deviceId": sent.get("deviceId") or None}, stored)


def _differences(sent: Any, stored: Any, pointer: str = "") -> Iterator[str]:
    """Yields the pointers of values that differ; nulls may be absent, and queries masked."""
    if isinstance(sent, dict) and isinstance(stored, dict):
        for name, value in sent.items():
            if value is not None or stored.get(name) is not None:
                yield from _differences(value, stored.get(name), f"{pointer}/{name}")
    elif not _is_same(sent, stored):
        yield pointer or "/"


def _is_same(sent: Any, stored: Any) -> bool:
    is_equal = sent == stored and isinstance(sent, bool) == isinstance(stored, bool)
    return is_equal or _is_masked(sent, stored)


def _is_masked(sent: Any, stored: Any) -> bool:
    """Returns whether `stored` is the URL `sent` with its query masked (azure-powershell#12154)."""
    return isinstance(sent, str) and stored == f"{sent.partition('?')[0]}?****"
