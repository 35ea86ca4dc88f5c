"""The clients that test the contract, with one interface: httpx, the SDK, the app's client."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import HttpResponseError
from azure.iot.deviceprovisioning import DeviceProvisioningClient
from azure.iot.deviceprovisioning.aio import DeviceProvisioningClient as AioDeviceProvisioningClient

from local.stack import UNPACED
from shared.dps import DpsClient
from shared.dps.resources import Query
from shared.errors import DpsAnswerError
from shared.settings import Settings
from tests.contract.targets import Target

Document = Mapping[str, Any]
SELECT_ALL = "SELECT *"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A response, of success or error; `continuation` is the token of a query's next page."""

    status: int
    document: Any = None
    continuation: str | None = None

    @property
    def error(self) -> tuple[int, int]:
        """HTTP status and DPS's error code."""
        return self.status, self.document["errorCode"]


class Client:
    """
    DPS's operations on a collection: `enrollments`, `enrollmentGroups` or `registrations`.

    An error response is returned, not raised; it ends the pages of a query. Subclasses say how to call
    a library, which has a resource for each collection.
    """

    def __init__(self, *, enrollments: Any, groups: Any, registrations: Any) -> None:
        self._resources = {
            "enrollments": enrollments,
            "enrollmentGroups": groups,
            "registrations": registrations,
        }

    async def create_or_update(
        self, collection: str, id_: str, document: Document, *, if_match: str | None = None
    ) -> Reply:
        method = self._resources[collection].create_or_update
        return await self._call(method, id_, document, if_match=if_match)

    async def get(self, collection: str, id_: str) -> Reply:
        return await self._call(self._resources[collection].get, id_)

    async def delete(self, collection: str, id_: str, *, if_match: str | None = None) -> Reply:
        return await self._call(self._resources[collection].delete, id_, if_match=if_match)

    async def get_attestation_mechanism(self, collection: str, id_: str) -> Reply:
        return await self._call(self._resources[collection].get_attestation_mechanism, id_)

    async def run_bulk_operation(self, collection: str, operation: Document) -> Reply:
        return await self._call(self._resources[collection].run_bulk_operation, operation)

    async def query(
        self,
        collection: str,
        *,
        text: str = SELECT_ALL,
        top: int | None = None,
        continuation: str | None = None,
    ) -> list[Reply]:
        method = self._resources[collection].query
        return await self._pages(continuation, method, {"query": text}, top=top)

    async def query_group(
        self, id_: str, *, top: int | None = None, continuation: str | None = None
    ) -> list[Reply]:
        return await self._pages(continuation, self._resources["registrations"].query, id_, top=top)

    async def _call(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Reply:
        raise NotImplementedError

    async def _pages(
        self, continuation: str | None, method: Callable[..., Any], *arguments: Any, **options: Any
    ) -> list[Reply]:
        raise NotImplementedError


_HEADERS = {
    "if_match": "If-Match",
    "top": "x-ms-max-item-count",
    "continuation": "x-ms-continuation",
}


class HttpResource:
    """Requests to a collection, as the REST reference documents them."""

    def __init__(self, client: httpx.AsyncClient, path: str) -> None:
        self._client = client
        self._path = path

    async def create_or_update(self, id_: str, document: Document, **options: str | None) -> Reply:
        return await self._send("PUT", f"/{_quote(id_)}", document, **options)

    async def get(self, id_: str) -> Reply:
        return await self._send("GET", f"/{_quote(id_)}")

    async def delete(self, id_: str, **options: str | None) -> Reply:
        return await self._send("DELETE", f"/{_quote(id_)}", None, **options)

    async def get_attestation_mechanism(self, id_: str) -> Reply:
        return await self._send("POST", f"/{_quote(id_)}/attestationmechanism")

    async def run_bulk_operation(self, operation: Document) -> Reply:
        return await self._send("POST", "", operation)

    async def query(self, query: Document | str, **options: str | None) -> Reply:
        """Returns a page: of a query specification, or of a group's registrations."""
        if isinstance(query, str):
            return await self._send("POST", f"/{_quote(query)}/query", None, **options)
        return await self._send("POST", "/query", query, **options)

    async def _send(
        self, method: str, path: str, document: Document | None = None, **options: str | None
    ) -> Reply:
        response = await self._client.request(
            method,
            self._path + path,
            json=document,
            headers={_HEADERS[name]: str(value) for name, value in options.items() if value},
        )
        return Reply(
            status=response.status_code,
            document=response.json() if response.content else None,
            continuation=response.headers.get("x-ms-continuation"),
        )


def _quote(id_: str) -> str:
    return quote(id_, safe="")


class HttpClient(Client):
    """httpx, without a library for DPS."""

    async def _call(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Reply:
        reply: Reply = await method(*arguments, **options)
        return reply

    async def _pages(
        self, continuation: str | None, method: Callable[..., Any], *arguments: Any, **options: Any
    ) -> list[Reply]:
        pages: list[Reply] = []
        while not pages or continuation:
            page: Reply = await method(*arguments, continuation=continuation, **options)
            pages.append(page)
            continuation = page.continuation
        return pages


class AppClient(Client):
    """The app's own client, which raises errors and does not show the status of a success."""

    async def _call(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Reply:
        try:
            document = await method(*arguments, **options)
        except DpsAnswerError as error:
            return _app_error(error)
        is_deletion = method.__name__ == "delete"
        status = HTTPStatus.NO_CONTENT if is_deletion else HTTPStatus.OK
        return Reply(status=status, document=document)

    async def _pages(
        self, continuation: str | None, method: Callable[..., Any], *arguments: Any, **options: Any
    ) -> list[Reply]:
        query: Query = method(*arguments, continuation=continuation, **options)
        pages: list[Reply] = []
        try:
            async for page in query.by_page():
                reply = _page(page.records, page.continuation)
                pages.append(reply)
        except DpsAnswerError as error:
            pages.append(_app_error(error))
        return pages


class SyncSdkClient(Client):
    """The sync client of `azure-iot-deviceprovisioning`, in a thread."""

    async def _call(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Reply:
        def call() -> Reply:
            try:
                reply: Reply = method(*arguments, cls=_sdk_reply, **options)
            except HttpResponseError as error:
                return _sdk_error(error)
            return reply

        return await asyncio.to_thread(call)

    async def _pages(
        self, continuation: str | None, method: Callable[..., Any], *arguments: Any, **options: Any
    ) -> list[Reply]:
        def read_pages() -> list[Reply]:
            pages: list[Reply] = []
            iterator = method(*arguments, **options).by_page(continuation_token=continuation)
            try:
                for page in iterator:
                    records = list(page)
                    pages.append(_page(records, iterator.continuation_token))
            except HttpResponseError as error:
                pages.append(_sdk_error(error))
            return pages

        return await asyncio.to_thread(read_pages)


class AioSdkClient(Client):
    """The async client of `azure-iot-deviceprovisioning`; its queries are awaited first."""

    async def _call(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Reply:
        try:
            reply: Reply = await method(*arguments, cls=_sdk_reply, **options)
        except HttpResponseError as error:
            return _sdk_error(error)
        return reply

    async def _pages(
        self, continuation: str | None, method: Callable[..., Any], *arguments: Any, **options: Any
    ) -> list[Reply]:
        pages: list[Reply] = []
        query = await method(*arguments, **options)
        iterator = query.by_page(continuation_token=continuation)
        try:
            async for page in iterator:
                records = [record async for record in page]
                pages.append(_page(records, iterator.continuation_token))
        except HttpResponseError as error:
            pages.append(_sdk_error(error))
        return pages


def _page(records: Any, continuation: str | None) -> Reply:
    return Reply(status=HTTPStatus.OK, document=records, continuation=continuation)


def _app_error(error: DpsAnswerError) -> Reply:
    document = {"errorCode": error.error_code, "message": str(error)}
    return Reply(status=error.status, document=document)


def _sdk_reply(pipeline_response: Any, document: Any, _: Mapping[str, Any]) -> Reply:
    return Reply(status=pipeline_response.http_response.status_code, document=document)


def _sdk_error(error: HttpResponseError) -> Reply:
    response: Any = error.response
    return Reply(status=response.status_code, document=response.json())


@asynccontextmanager
async def _open_http(target: Target) -> AsyncIterator[Client]:
    async with target.create_http_client() as client:
        yield HttpClient(
            enrollments=HttpResource(client, "/enrollments"),
            groups=HttpResource(client, "/enrollmentGroups"),
            registrations=HttpResource(client, "/registrations"),
        )


@asynccontextmanager
async def _open_sync_sdk(target: Target) -> AsyncIterator[Client]:
    with DeviceProvisioningClient(**_sdk_arguments(target)) as client:
        yield SyncSdkClient(**_sdk_resources(client))


@asynccontextmanager
async def _open_aio_sdk(target: Target) -> AsyncIterator[Client]:
    async with AioDeviceProvisioningClient(**_sdk_arguments(target)) as client:
        yield AioSdkClient(**_sdk_resources(client))


def _sdk_arguments(target: Target) -> dict[str, Any]:
    return {
        # The SDK signs its endpoint as given, and DPS wants only the host signed.
        "endpoint": target.url.removeprefix("https://"),
        "credential": AzureNamedKeyCredential(target.policy, target.key),
        "headers": dict(target.headers),
        "retry_total": 0,
    }


def _sdk_resources(client: Any) -> dict[str, Any]:
    return {
        "enrollments": client.enrollment,
        "groups": client.enrollment_group,
        "registrations": client.device_registration_state,
    }


@asynccontextmanager
async def _open_app_client(target: Target) -> AsyncIterator[Client]:
    given = {"DPS_CONNECTION_STRING": target.connection_string, "DPS_MAX_ATTEMPTS": "1"}
    async with DpsClient(Settings.read(UNPACED | given)) as client:
        yield AppClient(
            enrollments=client.enrollments,
            groups=client.enrollment_groups,
            registrations=client.registration_states,
        )


CLIENTS: Mapping[str, Callable[[Target], AbstractAsyncContextManager[Client]]] = {
    "httpx": _open_http,
    "sdk-sync": _open_sync_sdk,
    "sdk-aio": _open_aio_sdk,
    "app-client": _open_app_client,
}
