"""HTTP route of the app's OpenAPI document."""

from functools import cache
from pathlib import Path

import azure.functions as func

from functions.http.responses import with_error_responses
from shared.settings import docs_auth_level

_DOCUMENT = Path(__file__).with_name("openapi.json")

blueprint = func.Blueprint()


@blueprint.function_name("openapi")
@blueprint.route(
    "openapi.json", methods=["GET"], auth_level=func.AuthLevel[docs_auth_level().upper()]
)
@with_error_responses
async def openapi(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001  the worker passes it
    """Returns this document."""
    return func.HttpResponse(_document(), mimetype="application/json")


@cache
def _document() -> bytes:
    return _DOCUMENT.read_bytes()
