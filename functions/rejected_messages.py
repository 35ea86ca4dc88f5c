"""HTTP routes of rejected messages, for operators."""

import azure.functions as func

from functions import lazy
from functions.http.responses import with_error_responses

blueprint = func.Blueprint()


@blueprint.function_name("rejected_page")
@blueprint.route("rejected", methods=["GET"])
@with_error_responses
async def list_messages(req: func.HttpRequest) -> func.HttpResponse:
    return await lazy.rejected_handlers.list_messages(req)


@blueprint.function_name("rejected_replay")
@blueprint.route("rejected/replay", methods=["POST"])
@with_error_responses
async def replay(req: func.HttpRequest) -> func.HttpResponse:
    return await lazy.rejected_handlers.replay(req)


@blueprint.function_name("rejected_discard")
@blueprint.route("rejected/{sequenceNumber}", methods=["DELETE"])
@with_error_responses
async def discard(req: func.HttpRequest) -> func.HttpResponse:
    return await lazy.rejected_handlers.discard(req)
