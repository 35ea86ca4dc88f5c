"""What is checked of answers, and what is said of those that are wrong."""

import base64
import binascii
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import httpx
from azure.core.exceptions import AzureError, HttpResponseError

from local.demo.steps import UnexpectedError

CODE = "x-ms-error-code"
_FEWEST_KEY_BYTES = 16


def expect(what: str, got: object, wanted: object) -> None:
    """UnexpectedError if they differ; not for documents, whose values may be secret."""
    if got != wanted:
        raise UnexpectedError(f"{what}: expected {wanted}, got {got}")


def answer(reply: httpx.Response, status: int = 200) -> Any:
    """The document of a reply that has this status."""
    if reply.status_code != status:
        raise UnexpectedError(f"expected {status}, got {described(reply.status_code, body(reply))}")
    return body(reply)


def refused(call: Callable[[], object], status: int, code: int) -> str:
    """Makes a call of the SDK that must be refused just so."""
    try:
        call()
    except HttpResponseError as error:
        return _refusal(error, status, code)
    raise UnexpectedError(f"expected a refusal with {code}, got a success")


async def refused_aio(call: Awaitable[object], status: int, code: int) -> str:
    """The same for asyncio."""
    try:
        await call
    except HttpResponseError as error:
        return _refusal(error, status, code)
    raise UnexpectedError(f"expected a refusal with {code}, got a success")


def _refusal(error: HttpResponseError, status: int, code: int) -> str:
    response: Any = error.response
    got = response.headers.get(CODE) if response is not None else None
    expect("status and code", (error.status_code, got), (status, str(code)))
    return f"refused: {status}, DPS's code {code}"


def reason(error: Exception) -> str:
    """Why a step failed, in one line."""
    if isinstance(error, UnexpectedError):
        return str(error)
    if isinstance(error, HttpResponseError) and error.response is not None:
        return f"got {described(error.status_code or 0, body(error.response))}"
    text = error.message if isinstance(error, AzureError) else str(error)
    return f"{type(error).__name__}: {text}"


def body(reply: Any) -> Any:
    """The JSON of a reply of httpx or the SDK; None if it has none."""
    try:
        return reply.json()
    except ValueError:
        return None


def described(status: int, document: Any) -> str:
    """An error answer as a sentence, with every fault that `info` names."""
    if not isinstance(document, Mapping):
        return f"HTTP {status}"
    head = f"HTTP {status}, {document.get('errorCode')}: {document.get('message')}"
    info = document.get("info") or {}
    return " ".join([head, *(f"{pointer} {words};" for pointer, words in info.items())]).rstrip(";")


def two_keys(attestation: Mapping[str, Any]) -> tuple[str, str]:
    """The keys of a symmetric key attestation, which must be there, base64 and not the same."""
    keys = attestation.get("symmetricKey") or {}
    primary, secondary = keys.get("primaryKey", ""), keys.get("secondaryKey", "")
    expect("both keys usable", [_is_key(primary), _is_key(secondary)], [True, True])
    expect("two different keys", primary != secondary, wanted=True)
    return primary, secondary


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) >= _FEWEST_KEY_BYTES
    except binascii.Error:
        return False


def differences(sent: Any, got: Any, at: str = "") -> Iterator[str]:
    """Pointers to what was sent and did not come back so; null may come back as absent."""
    if isinstance(sent, dict) and isinstance(got, dict):
        for name, value in sent.items():
            if value is not None or got.get(name) is not None:
                yield from differences(value, got.get(name), f"{at}/{name}")
    elif sent != got or isinstance(sent, bool) != isinstance(got, bool):
        yield at or "/"


def expect_same(what: str, sent: Any, got: Any) -> None:
    """UnexpectedError naming the places, never the values."""
    if places := list(differences(sent, got)):
        raise UnexpectedError(f"{what}: came back different at {', '.join(places)}")
