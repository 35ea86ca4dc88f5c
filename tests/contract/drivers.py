"""What drives the contract: each client does the same verbs and answers them in the same words."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import quote

import httpx

from local.stack import UNPACED
from shared.dps import DpsClient
from shared.dps.queries import Query
from shared.errors import DpsAnswerError
from shared.settings import Settings
from tests.contract.targets import Target

Document = Mapping[str, Any]
SELECT_ALL = "SELECT *"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer or a refusal; `continuation` leads from a page of a query to the next."""

    status: int
    document: Any = None
    continuation: str | None = None

    @property
    def error(self) -> tuple[int, int]:
        """HTTP status and DPS's code of a refusal."""
        return self.status, self.document["errorCode"]


class Driver(Protocol):
    """The verbs of DPS on a collection: `enrollments`, `enrollmentGroups` or `registrations`.

    A refusal is a reply like any other; the pages of a query end with it.
    """

    async def create_or_update(
        self, collection: str, id_: str, document: Document, *, if_match: str | None = None
    ) -> Reply: ...

    async def get(self, collection: str, id_: str) -> Reply: ...

    async def delete(self, collection: str, id_: str, *, if_match: str | None = None) -> Reply: ...

    async def get_attestation_mechanism(self, collection: str, id_: str) -> Reply: ...

    async def run_bulk_operation(self, collection: str, operation: Document) -> Reply: ...

    async def query(
        self,
        collection: str,
        *,
        text: str = SELECT_ALL,
        top: int | None = None,
        continuation: str | None = None,
    ) -> list[Reply]: ...

    async def query_group(
        self, id_: str, *, top: int | None = None, continuation: str | None = None
    ) -> list[Reply]: ...


class PlainHttp:
    """Requests written down from the REST reference."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def create_or_update(self, collection, id_, document, *, if_match=None):
        return await self._send("PUT", _path(collection, id_), document, {"If-Match": if_match})

    async def get(self, collection, id_):
        return await self._send("GET", _path(collection, id_))

    async def delete(self, collection, id_, *, if_match=None):
        return await self._send("DELETE", _path(collection, id_), None, {"If-Match": if_match})

    async def get_attestation_mechanism(self, collection, id_):
        return await self._send("POST", f"{_path(collection, id_)}/attestationmechanism")

    async def run_bulk_operation(self, collection, operation):
        return await self._send("POST", f"/{collection}", operation)

    async def query(self, collection, *, text=SELECT_ALL, top=None, continuation=None):
        return await self._pages(f"/{collection}/query", {"query": text}, top, continuation)

    async def query_group(self, id_, *, top=None, continuation=None):
        return await self._pages(f"{_path('registrations', id_)}/query", None, top, continuation)

    async def _pages(self, path, document, top, continuation):
        pages: list[Reply] = []
        while not pages or continuation:
            size = None if top is None else str(top)
            headers = {"x-ms-max-item-count": size, "x-ms-continuation": continuation}
            pages.append(await self._send("POST", path, document, headers))
            continuation = pages[-1].continuation
        return pages

    async def _send(self, method, path, document=None, headers=None):
        given = {name: value for name, value in (headers or {}).items() if value is not None}
        response = await self._client.request(method, path, json=document, headers=given)
        return Reply(
            status=response.status_code,
            document=response.json() if response.content else None,
            continuation=response.headers.get("x-ms-continuation"),
        )


def _path(collection: str, id_: str) -> str:
    return f"/{collection}/{quote(id_, safe='')}"


class AppClient:
    """The client inside the app, which raises errors by name and shows no status of a success."""

    def __init__(self, client: DpsClient) -> None:
        self._of = {
            "enrollments": client.enrollments,
            "enrollmentGroups": client.enrollment_groups,
            "registrations": client.registration_states,
        }

    async def create_or_update(self, collection, id_, document, *, if_match=None):
        verb = self._of[collection].create_or_update
        return await _answered(verb(id_, document, if_match=if_match))

    async def get(self, collection, id_):
        return await _answered(self._of[collection].get(id_))

    async def delete(self, collection, id_, *, if_match=None):
        verb = self._of[collection].delete
        return await _answered(verb(id_, if_match=if_match), HTTPStatus.NO_CONTENT)

    async def get_attestation_mechanism(self, collection, id_):
        return await _answered(self._of[collection].get_attestation_mechanism(id_))

    async def run_bulk_operation(self, collection, operation):
        return await _answered(self._of[collection].run_bulk_operation(operation))

    async def query(self, collection, *, text=SELECT_ALL, top=None, continuation=None):
        verb = self._of[collection].query
        return await _pages(verb({"query": text}, top=top, continuation=continuation))

    async def query_group(self, id_, *, top=None, continuation=None):
        verb = self._of["registrations"].query
        return await _pages(verb(id_, top=top, continuation=continuation))


async def _answered(call, status=HTTPStatus.OK) -> Reply:
    try:
        return Reply(status=status, document=await call)
    except DpsAnswerError as error:
        return _refusal(error)


async def _pages(query: Query) -> list[Reply]:
    pages: list[Reply] = []
    try:
        async for page in query.by_page():
            found = Reply(status=200, document=page.records, continuation=page.continuation)
            pages.append(found)
    except DpsAnswerError as error:
        pages.append(_refusal(error))
    return pages


def _refusal(error: DpsAnswerError) -> Reply:
    document = {"errorCode": error.error_code, "message": str(error)}
    return Reply(status=error.status, document=document)


@asynccontextmanager
async def plain_http(target: Target) -> AsyncIterator[Driver]:
    """httpx on the bare API."""
    async with target.client() as client:
        yield PlainHttp(client)


@asynccontextmanager
async def app_client(target: Target) -> AsyncIterator[Driver]:
    """The app's own client, which is given one attempt for each call."""
    given = {"DPS_CONNECTION_STRING": target.connection_string, "DPS_MAX_ATTEMPTS": "1"}
    async with DpsClient(Settings.read(UNPACED | given)) as client:
        yield AppClient(client)
