"""
HTTP routes of enrollment groups: seven verbs, at DPS's own paths.

The host tries routes in alphabetical order of the functions' names; here no two can match the same
method and path.
"""

import azure.functions as func

from functions._on_demand import verbs
from functions._replies import replies
from functions._services import services

blueprint = func.Blueprint()


@blueprint.function_name("enrollment_groups_get")
@blueprint.route("enrollmentGroups/{id}", methods=["GET"])
@replies
async def get(req: func.HttpRequest) -> func.HttpResponse:
    return await verbs.get(services().dps.enrollment_groups, req)


@blueprint.function_name("enrollment_groups_create_or_update")
@blueprint.route("enrollmentGroups/{id}", methods=["PUT"])
@replies
async def create_or_update(req: func.HttpRequest) -> func.HttpResponse:
    return await verbs.create_or_update(services().dps.enrollment_groups, req)


@blueprint.function_name("enrollment_groups_patch")
@blueprint.route("enrollmentGroups/{id}", methods=["PATCH"])
@replies
async def patch(req: func.HttpRequest) -> func.HttpResponse:
    return await verbs.patch(services().dps.enrollment_groups, req)


@blueprint.function_name("enrollment_groups_delete")
@blueprint.route("enrollmentGroups/{id}", methods=["DELETE"])
@replies
async def delete(req: func.HttpRequest) -> func.HttpResponse:
    return await verbs.delete(services().dps.enrollment_groups, req)


@blueprint.function_name("enrollment_groups_get_attestation_mechanism")
@blueprint.route("enrollmentGroups/{id}/attestationmechanism", methods=["POST"])
@replies
async def get_attestation_mechanism(req: func.HttpRequest) -> func.HttpResponse:
    return await verbs.get_attestation_mechanism(services().dps.enrollment_groups, req)


@blueprint.function_name("enrollment_groups_query")
@blueprint.route("enrollmentGroups/query", methods=["POST"])
@replies
async def query(req: func.HttpRequest) -> func.HttpResponse:
    return await verbs.query(services().dps.enrollment_groups, req)


@blueprint.function_name("enrollment_groups_run_bulk_operation")
@blueprint.route("enrollmentGroups", methods=["POST"])
@replies
async def run_bulk_operation(req: func.HttpRequest) -> func.HttpResponse:
    return await verbs.run_bulk_operation(services().dps.enrollment_groups, req)
