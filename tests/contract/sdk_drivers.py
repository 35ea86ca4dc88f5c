"""Microsoft's own client, `azure-iot-deviceprovisioning`, as a driver: sync and aio."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import HttpResponseError
from azure.iot.deviceprovisioning import DeviceProvisioningClient
from azure.iot.deviceprovisioning.aio import DeviceProvisioningClient as AioDeviceProvisioningClient

from tests.contract.drivers import SELECT_ALL, Driver, Reply
from tests.contract.targets import Target


class Sdk:
    """The verbs, which sync and aio clients name alike; how they are called is up to each."""

    def __init__(self, client: Any) -> None:
        self._of = {
            "enrollments": client.enrollment,
            "enrollmentGroups": client.enrollment_group,
            "registrations": client.device_registration_state,
        }

    async def create_or_update(self, collection, id_, document, *, if_match=None):
        verb = self._of[collection].create_or_update
        return await self._call(verb, id_, document, if_match=if_match)

    async def get(self, collection, id_):
        return await self._call(self._of[collection].get, id_)

    async def delete(self, collection, id_, *, if_match=None):
        return await self._call(self._of[collection].delete, id_, if_match=if_match)

    async def get_attestation_mechanism(self, collection, id_):
        return await self._call(self._of[collection].get_attestation_mechanism, id_)

    async def run_bulk_operation(self, collection, operation):
        return await self._call(self._of[collection].run_bulk_operation, operation)

    async def query(self, collection, *, text=SELECT_ALL, top=None, continuation=None):
        verb = self._of[collection].query
        return await self._pages(continuation, verb, {"query": text}, top=top)

    async def query_group(self, id_, *, top=None, continuation=None):
        return await self._pages(continuation, self._of["registrations"].query, id_, top=top)

    async def _call(self, verb, *arguments, **options) -> Reply:
        raise NotImplementedError

    async def _pages(self, continuation, verb, *arguments, **options) -> list[Reply]:
        raise NotImplementedError


class SyncSdk(Sdk):
    """The sync client, in a thread."""

    async def _call(self, verb, *arguments, **options):
        return await asyncio.to_thread(_answered, verb, *arguments, **options)

    async def _pages(self, continuation, verb, *arguments, **options):
        return await asyncio.to_thread(_pages, continuation, verb, *arguments, **options)


def _answered(verb, *arguments, **options) -> Reply:
    try:
        return verb(*arguments, cls=_reply, **options)
    except HttpResponseError as error:
        return _refusal(error)


def _pages(continuation, verb, *arguments, **options) -> list[Reply]:
    found: list[Reply] = []
    pages = verb(*arguments, **options).by_page(continuation_token=continuation)
    try:
        for page in pages:
            records = list(page)
            found.append(_page(records, pages.continuation_token))
    except HttpResponseError as error:
        found.append(_refusal(error))
    return found


class AioSdk(Sdk):
    """The aio client; a query of it is awaited before it is iterated over."""

    async def _call(self, verb, *arguments, **options):
        try:
            return await verb(*arguments, cls=_reply, **options)
        except HttpResponseError as error:
            return _refusal(error)

    async def _pages(self, continuation, verb, *arguments, **options):
        found: list[Reply] = []
        query = await verb(*arguments, **options)
        pages = query.by_page(continuation_token=continuation)
        try:
            async for page in pages:
                records = [record async for record in page]
                found.append(_page(records, pages.continuation_token))
        except HttpResponseError as error:
            found.append(_refusal(error))
        return found


def _reply(pipeline_response: Any, document: Any, _: Mapping[str, Any]) -> Reply:
    return Reply(status=pipeline_response.http_response.status_code, document=document)


def _page(records: list[Any], continuation: str | None) -> Reply:
    return Reply(status=200, document=records, continuation=continuation)


def _refusal(error: HttpResponseError) -> Reply:
    return Reply(status=error.status_code, document=error.response.json())


@asynccontextmanager
async def sdk_sync(target: Target) -> AsyncIterator[Driver]:
    """The SDK's sync client."""
    with DeviceProvisioningClient(**_arguments(target)) as client:
        yield SyncSdk(client)


@asynccontextmanager
async def sdk_aio(target: Target) -> AsyncIterator[Driver]:
    """The SDK's aio client."""
    async with AioDeviceProvisioningClient(**_arguments(target)) as client:
        yield AioSdk(client)


def _arguments(target: Target) -> dict[str, Any]:
    return {
        # The SDK signs its endpoint as given, and DPS wants the host alone signed.
        "endpoint": target.url.removeprefix("https://"),
        "credential": AzureNamedKeyCredential(target.policy, target.key),
        "headers": dict(target.headers),
        "retry_total": 0,
    }
