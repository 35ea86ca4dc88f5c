"""
HTTP routes of enrollment groups, at DPS's own paths.

The host tries routes in the alphabetical order of function names; no two of these match the same
method and path.
"""

import azure.functions as func

from functions import lazy
from functions.http.access import DPS_AUTH_LEVEL, requires
from functions.http.responses import with_error_responses
from functions.runtime import services
from shared.settings import Right

blueprint = func.Blueprint()


@blueprint.function_name("enrollment_groups_get")
@blueprint.route("enrollmentGroups/{id}", methods=["GET"], auth_level=DPS_AUTH_LEVEL)
@requires(Right.ENROLLMENT_READ)
async def get(req: func.HttpRequest) -> func.HttpResponse:
    return await lazy.handlers.get(services().dps.enrollment_groups, req)


@blueprint.function_name("enrollment_groups_create_or_update")
@blueprint.route("enrollmentGroups/{id}", methods=["PUT"], auth_level=DPS_AUTH_LEVEL)
@requires(Right.ENROLLMENT_WRITE)
async def create_or_update(req: func.HttpRequest) -> func.HttpResponse:
    return await lazy.handlers.create_or_update(services().dps.enrollment_groups, req)


@blueprint.function_name("enrollment_groups_patch")
@blueprint.route("enrollmentGroups/{id}", methods=["PATCH"])
@with_error_responses
async def patch(req: func.HttpRequest) -> func.HttpResponse:
    return await lazy.handlers.patch(services().dps.enrollment_groups, req)


@blueprint.function_name("enrollment_groups_delete")
@blueprint.route("enrollmentGroups/{id}", methods=["DELETE"], auth_level=DPS_AUTH_LEVEL)
@requires(Right.ENROLLMENT_WRITE)
async def delete(req: func.HttpRequest) -> func.HttpResponse:
    return await lazy.handlers.delete(services().dps.enrollment_groups, req)


@blueprint.function_name("enrollment_groups_get_attestation_mechanism")
@blueprint.route(
    "enrollmentGroups/{id}/attestationmechanism", methods=["POST"], auth_level=DPS_AUTH_LEVEL
)
@requires(Right.ENROLLMENT_WRITE)
async def get_attestation_mechanism(req: func.HttpRequest) -> func.HttpResponse:
    return await lazy.handlers.get_attestation_mechanism(services().dps.enrollment_groups, req)


@blueprint.function_name("enrollment_groups_query")
@blueprint.route("enrollmentGroups/query", methods=["POST"], auth_level=DPS_AUTH_LEVEL)
@requires(Right.ENROLLMENT_READ)
async def query(req: func.HttpRequest) -> func.HttpResponse:
    return await lazy.handlers.query(services().dps.enrollment_groups, req)


@blueprint.function_name("enrollment_groups_run_bulk_operation")
@blueprint.route("enrollmentGroups", methods=["POST"], auth_level=DPS_AUTH_LEVEL)
@requires(Right.ENROLLMENT_WRITE)
async def run_bulk_operation(req: func.HttpRequest) -> func.HttpResponse:
    return await lazy.handlers.run_bulk_operation(services().dps.enrollment_groups, req)
