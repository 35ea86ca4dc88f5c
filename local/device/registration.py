"""The registration of a device: one request, then polling until it is finished."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from local.device.identity import Identity

API_VERSION: Final = "2021-06-01"
# Used if a response has no Retry-After; DPS usually sends this one.
DEFAULT_RETRY_AFTER_SECONDS: Final = 3.0

State = Mapping[str, Any]


class RegistrationError(Exception):
    """A response that is not a registration operation; the text is for the user."""


@dataclass(frozen=True)
class OperationStatus:
    """The contents of one response."""

    operation_id: str
    status: str
    state: State
    retry_after_seconds: float
    remark: str | None  # a note of the stand-in, which DPS does not send


@dataclass(frozen=True, kw_only=True)
class Registration:
    """The registration of one device; `report` receives a line for each request and response."""

    session: aiohttp.ClientSession
    url: str
    identity: Identity
    report: Callable[[str], None]

    async def run(self, payload: Any = None) -> State:
        """
        Registers the device and returns its final state; raises RegistrationError.

        Documented: DPS throttles registrations and polls; a 429 is retried.
        """
        body = self.identity.document(payload)
        operation = await self._send("PUT", "register", body)
        while operation.status == "assigning":
            await asyncio.sleep(operation.retry_after_seconds)
            operation = await self._send("GET", f"operations/{operation.operation_id}")
        return operation.state or {"status": operation.status}

    async def _send(self, method: str, path: str, body: Any = None) -> OperationStatus:
        response, text = await self._request(method, path, body)
        while response.status == HTTPStatus.TOO_MANY_REQUESTS:
            await asyncio.sleep(_parse_retry_after(response.headers.get("Retry-After")))
            response, text = await self._request(method, path, body)
        if not response.ok:
            raise RegistrationError(_describe_error(response.status, text))
        operation = _parse(text, response.headers)
        wait = f", polling in {operation.retry_after_seconds:g} s"
        self.report(f"  {operation.status}" + wait * (operation.status == "assigning"))
        if operation.remark:
            self.report(f"  {operation.remark}")
        return operation

    async def _request(
        self, method: str, path: str, body: Any
    ) -> tuple[aiohttp.ClientResponse, str]:
        url = f"{self.url.rstrip('/')}/{self.identity.path}/{path}?api-version={API_VERSION}"
        headers = self.identity.headers()
        async with self.session.request(method, url, json=body, headers=headers) as response:
            text = await response.text()
        self.report(f"{method} {path}: {response.status}")
        return response, text


def _parse(text: str, headers: Mapping[str, str]) -> OperationStatus:
    try:
        document = json.loads(text)
        return OperationStatus(
            operation_id=str(document["operationId"]),
            status=str(document["status"]),
            state=document.get("registrationState") or {},
            retry_after_seconds=_parse_retry_after(headers.get("Retry-After")),
            remark=headers.get("x-local-dps"),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RegistrationError("The response is not a registration operation") from error


def _describe_error(status: int, text: str) -> str:
    """Returns only status, error code and message: the rest of a body may hold secrets."""
    try:
        document = json.loads(text)
        return f"rejected with {status}: {document['errorCode']} {document['message']}"
    except (ValueError, TypeError, KeyError):
        return f"rejected with {status}"


def _parse_retry_after(header: str | None) -> float:
    return float(header) if header and header.isdecimal() else DEFAULT_RETRY_AFTER_SECONDS
