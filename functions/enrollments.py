"""
HTTP routes of individual enrollments: seven verbs, at DPS's own paths.

The host tries routes in alphabetical order of the functions' names; here no two can match the same
method and path.
"""

import azure.functions as func

from functions._on_demand import verbs
from functions._replies import replies
from functions._services import services

blueprint = func.Blueprint()


@blueprint.function_name("enrollments_get")
@blueprint.route("enrollments/{id}", methods=["GET"])
@replies
async def get(req: func.HttpRequest) -> func.HttpResponse:
    return await verbs.get(services().dps.enrollments, req)


@blueprint.function_name("enrollments_create_or_update")
@blueprint.route("enrollments/{id}", methods=["PUT"])
@replies
async def create_or_update(req: func.HttpRequest) -> func.HttpResponse:
    return await verbs.create_or_update(services().dps.enrollments, req)


@blueprint.function_name("enrollments_patch")
@blueprint.route("enrollments/{id}", methods=["PATCH"])
@replies
async def patch(req: func.HttpRequest) -> func.HttpResponse:
    return await verbs.patch(services().dps.enrollments, req)


@blueprint.function_name("enrollments_delete")
@blueprint.route("enrollments/{id}", methods=["DELETE"])
@replies
async def delete(req: func.HttpRequest) -> func.HttpResponse:
    return await verbs.delete(services().dps.enrollments, req)


@blueprint.function_name("enrollments_get_attestation_mechanism")
@blueprint.route("enrollments/{id}/attestationmechanism", methods=["POST"])
@replies
async def get_attestation_mechanism(req: func.HttpRequest) -> func.HttpResponse:
    return await verbs.get_attestation_mechanism(services().dps.enrollments, req)


@blueprint.function_name("enrollments_query")
@blueprint.route("enrollments/query", methods=["POST"])
@replies
async def query(req: func.HttpRequest) -> func.HttpResponse:
    return await verbs.query(services().dps.enrollments, req)


@blueprint.function_name("enrollments_run_bulk_operation")
@blueprint.route("enrollments", methods=["POST"])
@replies
async def run_bulk_operation(req: func.HttpRequest) -> func.HttpResponse:
    return await verbs.run_bulk_operation(services().dps.enrollments, req)
