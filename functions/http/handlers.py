"""Handlers of DPS's operations over HTTP, each for every resource that has it."""

import asyncio
from functools import partial

import azure.functions as func

from functions.http.requests import BULK_OPERATION_LIMITS, JSON, MERGE_PATCH, Call, parse_call
from functions.http.responses import (
    json_response,
    no_content,
    page_response,
    record_response,
    secret_response,
    validation_response,
    written_record_response,
)
from functions.runtime import services
from shared.dps import Record, read_modify_write
from shared.dps.batching.bulk_operation import BulkOperation, find_bulk_faults
from shared.dps.models import QuerySpecification, find_merge_patch_faults
from shared.dps.resources import EnrollmentResource, RegistrationStates, Resource

_MAX_QUERY_BYTES = 64 * 1024  # searched for a condition; no query is longer


async def get(resource: Resource, req: func.HttpRequest) -> func.HttpResponse:
    """Returns one record."""
    call = await parse_call(req)
    return record_response(await resource.get(call.id, context=call.context))


async def create_or_update(
    resource: EnrollmentResource, req: func.HttpRequest
) -> func.HttpResponse:
    """Writes one record."""
    call = await parse_call(req, resource.kind.record)
    record = await resource.create_or_update(
        call.id, call.document, if_match=call.if_match, context=call.context
    )
    return _written(resource, record, call, version=resource.api_version(call.context))


async def patch(resource: EnrollmentResource, req: func.HttpRequest) -> func.HttpResponse:
    """Applies a merge patch to one record."""
    model = resource.kind.record
    call = await parse_call(
        req,
        model,
        check=lambda merge_patch, _: find_merge_patch_faults(merge_patch, model),
        media_types=(MERGE_PATCH, JSON),
    )
    record = await read_modify_write.patch(
        resource, call.id, call.document, if_match=call.if_match, context=call.context
    )
    return _written(resource, record, call, version=resource.version_for_change(call.context))


def _written(
    resource: EnrollmentResource, record: Record, call: Call, *, version: str
) -> func.HttpResponse:
    """Returns the response for a record that was written at an API version."""
    lost = resource.find_lost(call.document, used=version, context=call.context)
    return written_record_response(record, lost=lost, version=version)


async def delete(resource: Resource, req: func.HttpRequest) -> func.HttpResponse:
    """Deletes one record."""
    call = await parse_call(req)
    await resource.delete(call.id, if_match=call.if_match, context=call.context)
    return no_content()


async def get_attestation_mechanism(
    resource: EnrollmentResource, req: func.HttpRequest
) -> func.HttpResponse:
    """Returns the attestation of one record, with its keys."""
    call = await parse_call(req)
    return secret_response(await resource.get_attestation_mechanism(call.id, context=call.context))


async def query(resource: EnrollmentResource, req: func.HttpRequest) -> func.HttpResponse:
    """Returns one page of records."""
    call = await parse_call(req, QuerySpecification)
    query = resource.query(
        call.document, top=call.top, continuation=call.continuation, context=call.context
    )
    return page_response(await query.page(), query_text=call.document["query"])


async def query_group(resource: RegistrationStates, req: func.HttpRequest) -> func.HttpResponse:
    """Returns one page of a group's registration states; a body is allowed and ignored."""
    call = await parse_call(req)
    query = resource.query(
        call.id, top=call.top, continuation=call.continuation, context=call.context
    )
    text = req.get_body()[:_MAX_QUERY_BYTES].decode(errors="replace")
    return page_response(await query.page(), query_text=text)


async def run_bulk_operation(
    resource: EnrollmentResource, req: func.HttpRequest
) -> func.HttpResponse:
    """Runs a bulk operation: one call if DPS accepts it, otherwise by the batch writer."""
    kind = resource.kind
    check = partial(find_bulk_faults, kind=kind)
    call = await parse_call(
        req, kind.bulk, check=check, limits=BULK_OPERATION_LIMITS, accepts_validate_only=True
    )
    size = len(req.get_body())
    bulk = await BulkOperation.read(resource, call.document, size=size, context=call.context)
    if call.validate_only:
        # In a thread: ten thousand records with many faults take a second.
        return validation_response(bulk.result(await asyncio.to_thread(bulk.invalid_results)))
    if not bulk.fits_one_call:
        timeout = services().settings.bulk_timeout_seconds
        return json_response(bulk.result(await bulk.run(timeout=timeout)))
    result = (await resource.apply_bulk(call.document, context=call.context)).result
    return json_response({**result, **bulk.result((), dps_errors=result.get("errors", ()))})
