"""
HTTP routes that DPS calls for custom allocation, and the one that says why it is told what it is.

https://learn.microsoft.com/azure/iot-dps/concepts-custom-allocation
"""

import azure.functions as func

from functions import _allocation
from functions._replies import replies

blueprint = func.Blueprint()


@blueprint.function_name("allocation_decide")
@blueprint.route("allocation", methods=["POST"])
@replies
async def decide(req: func.HttpRequest) -> func.HttpResponse:
    return _allocation.decide(req)


@blueprint.function_name("allocation_decide_by_policy")
@blueprint.route("allocation/{policy}", methods=["POST"])
@replies
async def decide_by_policy(req: func.HttpRequest) -> func.HttpResponse:
    return _allocation.decide(req)


@blueprint.function_name("allocation_explain")
@blueprint.route("allocation/{policy}/explain", methods=["POST"])
@replies
async def explain(req: func.HttpRequest) -> func.HttpResponse:
    return _allocation.explain(req)
