"""HTTP routes for those who run the app."""

import azure.functions as func

from functions._on_demand import health, rejected
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
    return health.live()


@blueprint.function_name("health_ready")
@blueprint.route("health/ready", methods=["GET"])
@replies
async def ready(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001  the worker passes it
    return await health.ready()


@blueprint.function_name("rejected_discard")
@blueprint.route("rejected/{sequenceNumber}", methods=["DELETE"])
@replies
async def discard(req: func.HttpRequest) -> func.HttpResponse:
    return await rejected.discard(req)


@blueprint.function_name("rejected_page")
@blueprint.route("rejected", methods=["GET"])
@replies
async def page(req: func.HttpRequest) -> func.HttpResponse:
    return await rejected.page(req)


@blueprint.function_name("rejected_replay")
@blueprint.route("rejected/replay", methods=["POST"])
@replies
async def replay(req: func.HttpRequest) -> func.HttpResponse:
    return await rejected.replay(req)
