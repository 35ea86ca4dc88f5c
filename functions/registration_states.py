"""HTTP routes of registration states, at DPS's own paths."""

import azure.functions as func

from functions import lazy
from functions.http.responses import with_error_responses
from functions.runtime import services

blueprint = func.Blueprint()


@blueprint.function_name("registration_states_get")
@blueprint.route("registrations/{id}", methods=["GET"])
@with_error_responses
async def get(req: func.HttpRequest) -> func.HttpResponse:
    return await lazy.handlers.get(services().dps.registration_states, req)


@blueprint.function_name("registration_states_delete")
@blueprint.route("registrations/{id}", methods=["DELETE"])
@with_error_responses
async def delete(req: func.HttpRequest) -> func.HttpResponse:
    return await lazy.handlers.delete(services().dps.registration_states, req)


@blueprint.function_name("registration_states_query")
@blueprint.route("registrations/{id}/query", methods=["POST"])
@with_error_responses
async def query(req: func.HttpRequest) -> func.HttpResponse:
    return await lazy.handlers.query_group(services().dps.registration_states, req)
