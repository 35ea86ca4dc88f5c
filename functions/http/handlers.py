"""Handlers of DPS's operations over HTTP, each for every resource that has it."""

from functools import partial

import azure.functions as func

from functions.http.requests import JSON, MERGE_PATCH, parse_call
from functions.http.responses import (
    bulk_result_response,
    json_response,
    no_content,
    page_response,
    record_response,
    secret_response,
    written_record_response,
)
from functions.runtime import services
from shared.dps import read_modify_write
from shared.dps.batching import bulk_operation
from shared.dps.models import Document, QuerySpecification, find_faults
from shared.dps.resources import EnrollmentResource, RegistrationStates, Resource
from shared.json_documents import MAX_DOCUMENT_BYTES, MAX_REQUEST_BYTES


async def get(resource: Resource, req: func.HttpRequest) -> func.HttpResponse:
    """Returns one record."""
    call = parse_call(req)
    return record_response(await resource.get(call.id, context=call.context))


async def create_or_update(
    resource: EnrollmentResource, req: func.HttpRequest
) -> func.HttpResponse:
    """Writes one record."""
    call = parse_call(req, find_faults=partial(find_faults, model=resource.kind.record))
    return written_record_response(
        await resource.create_or_update(
            call.id, call.document, if_match=call.if_match, context=call.context
        )
    )


async def patch(resource: EnrollmentResource, req: func.HttpRequest) -> func.HttpResponse:
    """Applies a merge patch to one record."""
    call = parse_call(
        req, find_faults=partial(find_faults, model=Document), media_types=(MERGE_PATCH, JSON)
    )
    return written_record_response(
        await read_modify_write.patch(
            resource, call.id, call.document, if_match=call.if_match, context=call.context
        )
    )


async def delete(resource: Resource, req: func.HttpRequest) -> func.HttpResponse:
    """Deletes one record."""
    call = parse_call(req)
    await resource.delete(call.id, if_match=call.if_match, context=call.context)
    return no_content()


async def get_attestation_mechanism(
    resource: EnrollmentResource, req: func.HttpRequest
) -> func.HttpResponse:
    """Returns the attestation of one record, with its keys."""
    call = parse_call(req)
    return secret_response(await resource.get_attestation_mechanism(call.id, context=call.context))


async def query(resource: EnrollmentResource, req: func.HttpRequest) -> func.HttpResponse:
    """Returns one page of records."""
    call = parse_call(req, find_faults=partial(find_faults, model=QuerySpecification))
    query = resource.query(
        call.document, top=call.top, continuation=call.continuation, context=call.context
    )
    return page_response(await query.page())


async def query_group(resource: RegistrationStates, req: func.HttpRequest) -> func.HttpResponse:
    """Returns one page of a group's registration states; a body is allowed and ignored."""
    call = parse_call(req)
    query = resource.query(
        call.id, top=call.top, continuation=call.continuation, context=call.context
    )
    return page_response(await query.page())


async def run_bulk_operation(
    resource: EnrollmentResource, req: func.HttpRequest
) -> func.HttpResponse:
    """Runs a bulk operation: one call if DPS accepts it, otherwise several."""
    kind = resource.kind
    faults = partial(
        bulk_operation.find_bulk_faults,
        kind=kind,
        check_size=len(req.get_body()) > MAX_DOCUMENT_BYTES,
    )
    call = parse_call(req, find_faults=faults, max_bytes=MAX_REQUEST_BYTES)
    if bulk_operation.fits_one_call(call.document, kind.path):
        result = await resource.run_bulk_operation(call.document, context=call.context)
        return json_response(result)
    failures = await bulk_operation.run_bulk_operation(
        resource,
        call.document,
        timeout=services().settings.bulk_timeout_seconds,
        context=call.context,
    )
    return bulk_result_response(failures, kind.id_member)
