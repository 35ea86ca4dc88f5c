"""HTTP routes of registration states, at DPS's own paths."""

import azure.functions as func

from functions import lazy
from functions.http.access import DPS_AUTH_LEVEL, requires
from functions.runtime import services
from shared.settings import Right

blueprint = func.Blueprint()


@blueprint.function_name("registration_states_get")
@blueprint.route("registrations/{id}", methods=["GET"], auth_level=DPS_AUTH_LEVEL)
@requires(Right.REGISTRATION_STATUS_READ)
async def get(req: func.HttpRequest) -> func.HttpResponse:
    return await lazy.handlers.get(services().dps.registration_states, req)


@blueprint.function_name("registration_states_delete")
@blueprint.route("registrations/{id}", methods=["DELETE"], auth_level=DPS_AUTH_LEVEL)
@requires(Right.REGISTRATION_STATUS_WRITE)
async def delete(req: func.HttpRequest) -> func.HttpResponse:
    return await lazy.handlers.delete(services().dps.registration_states, req)


@blueprint.function_name("registration_states_query")
@blueprint.route("registrations/{id}/query", methods=["POST"], auth_level=DPS_AUTH_LEVEL)
@requires(Right.REGISTRATION_STATUS_READ)
async def query(req: func.HttpRequest) -> func.HttpResponse:
    return await lazy.handlers.query_group(services().dps.registration_states, req)
