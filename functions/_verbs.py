"""Each verb over HTTP, written once for every resource that has it."""

from functools import partial

import azure.functions as func

from functions import _record_replies, _replies
from functions._requests import JSON, MERGE_PATCH, read
from functions._services import services
from shared.documents import MAX_BYTES, MAX_BYTES_OF_REQUEST
from shared.dps import bulk, patching
from shared.dps.models import Document, QuerySpecification, faults_in
from shared.dps.resources import EnrollmentResource, RegistrationStates, Resource


async def get(resource: Resource, req: func.HttpRequest) -> func.HttpResponse:
    """One record."""
    call = read(req)
    return _record_replies.record(await resource.get(call.id, context=call.context))


async def create_or_update(
    resource: EnrollmentResource, req: func.HttpRequest
) -> func.HttpResponse:
    """Writes one record."""
    call = read(req, check=partial(faults_in, model=resource.kind.record))
    return _record_replies.written(
        await resource.create_or_update(
            call.id, call.document, if_match=call.if_match, context=call.context
        )
    )


async def patch(resource: EnrollmentResource, req: func.HttpRequest) -> func.HttpResponse:
    """Changes some members of one record."""
    call = read(req, check=partial(faults_in, model=Document), media_types=(MERGE_PATCH, JSON))
    return _record_replies.written(
        await patching.patch(
            resource, call.id, call.document, if_match=call.if_match, context=call.context
        )
    )


async def delete(resource: Resource, req: func.HttpRequest) -> func.HttpResponse:
    """Removes one record."""
    call = read(req)
    await resource.delete(call.id, if_match=call.if_match, context=call.context)
    return _record_replies.nothing()


async def get_attestation_mechanism(
    resource: EnrollmentResource, req: func.HttpRequest
) -> func.HttpResponse:
    """The attestation of one record, keys included."""
    call = read(req)
    return _record_replies.secret(
        await resource.get_attestation_mechanism(call.id, context=call.context)
    )


async def query(resource: EnrollmentResource, req: func.HttpRequest) -> func.HttpResponse:
    """One page of records."""
    call = read(req, check=partial(faults_in, model=QuerySpecification))
    found = resource.query(
        call.document, top=call.top, continuation=call.continuation, context=call.context
    )
    return _record_replies.page(await found.page())


async def query_group(resource: RegistrationStates, req: func.HttpRequest) -> func.HttpResponse:
    """One page of a group's registration states; a body is tolerated and means nothing."""
    call = read(req)
    found = resource.query(
        call.id, top=call.top, continuation=call.continuation, context=call.context
    )
    return _record_replies.page(await found.page())


async def run_bulk_operation(
    resource: EnrollmentResource, req: func.HttpRequest
) -> func.HttpResponse:
    """One operation on many records: as DPS takes it, or split into calls that DPS takes."""
    kind = resource.kind
    check = partial(bulk.check, kind=kind, weigh=len(req.get_body()) > MAX_BYTES)
    call = read(req, check=check, max_bytes=MAX_BYTES_OF_REQUEST)
    if bulk.fits_one_call(call.document, kind.path):
        return _replies.document(
            await resource.run_bulk_operation(call.document, context=call.context)
        )
    within = services().settings.bulk_timeout_seconds
    failures = await bulk.run_split(resource, call.document, within=within, context=call.context)
    return _record_replies.bulk_result(failures, kind.id_member)
