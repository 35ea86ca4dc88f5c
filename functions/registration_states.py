"""HTTP routes of registration states: get, delete, and the query of a group's."""

import azure.functions as func

from functions._on_demand import verbs
from functions._replies import replies
from functions._services import services

blueprint = func.Blueprint()


@blueprint.function_name("registration_states_get")
@blueprint.route("registrations/{id}", methods=["GET"])
@replies
async def get(req: func.HttpRequest) -> func.HttpResponse:
    return await verbs.get(services().dps.registration_states, req)


@blueprint.function_name("registration_states_delete")
@blueprint.route("registrations/{id}", methods=["DELETE"])
@replies
async def delete(req: func.HttpRequest) -> func.HttpResponse:
    return await verbs.delete(services().dps.registration_states, req)


@blueprint.function_name("registration_states_query")
@blueprint.route("registrations/{id}/query", methods=["POST"])
@replies
async def query(req: func.HttpRequest) -> func.HttpResponse:
    return await verbs.query_group(services().dps.registration_states, req)
