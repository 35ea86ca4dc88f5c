"""HTTP routes for those who run the app."""

import azure.functions as func

from functions import _health
from functions._replies import replies
from shared.settings import public_routes_auth_level

blueprint = func.Blueprint()


@blueprint.function_name("health_live")
@blueprint.route(
    "health/live",
    methods=["GET"],
    auth_level=func.AuthLevel[public_routes_auth_level().upper()],
)
@replies
async def live(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001  the worker passes it
    return _health.live()


@blueprint.function_name("health_ready")
@blueprint.route("health/ready", methods=["GET"])
@replies
async def ready(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001  the worker passes it
    return await _health.ready()
