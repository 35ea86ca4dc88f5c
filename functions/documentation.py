"""
HTTP routes for people and tools: the start page, the API page, the OpenAPI document.

They show nothing of the instance: readiness is fetched by the page, with the key that its user
enters.
"""

from functools import cache
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import azure.functions as func

from functions.http.access import DPS_AUTH_LEVEL
from functions.http.responses import with_error_responses
from shared.errors import RouteNotFoundError
from shared.settings import docs_auth_level

_FOLDER = Path(__file__).parent
_DOCUMENT = _FOLDER / "openapi.json"
_PAGES = _FOLDER / "pages"
_MEDIA_TYPES = {
    "index.html": "text/html",
    "index.js": "text/javascript",
    "docs.html": "text/html",
    "docs.js": "text/javascript",
    "page.css": "text/css",
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
}
_HEADERS = {
    # Swagger UI sets styles of elements, and has its icons as data.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",  # the URL may have a function key
    "X-Content-Type-Options": "nosniff",
}
_AUTH_LEVEL = func.AuthLevel[docs_auth_level().upper()]

blueprint = func.Blueprint()


@blueprint.function_name("openapi")
@blueprint.route("openapi.json", methods=["GET"], auth_level=_AUTH_LEVEL)
@with_error_responses
async def openapi(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001  the worker passes it
    """Returns this document."""
    return func.HttpResponse(_read(_DOCUMENT), mimetype="application/json")


@blueprint.function_name("start_page")
@blueprint.route("/", methods=["GET"], auth_level=_AUTH_LEVEL)  # the host replaces an empty route
@with_error_responses
async def start_page(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001  the worker passes it
    """Returns a page that says what the app is, and lists its routes."""
    return _file("index.html")


@blueprint.function_name("docs_page")
@blueprint.route("docs", methods=["GET"], auth_level=_AUTH_LEVEL)
@with_error_responses
async def docs_page(req: func.HttpRequest) -> func.HttpResponse:
    """Returns a page on which the API can be tried, or its address without a slash at the end."""
    url = urlsplit(req.url)
    if url.path.endswith("/"):  # the links of the page are relative
        headers = {**_HEADERS, "Location": f"../docs?{url.query}".removesuffix("?")}
        return func.HttpResponse(status_code=HTTPStatus.TEMPORARY_REDIRECT, headers=headers)
    return _file("docs.html")


@blueprint.function_name("docs_file")
@blueprint.route("docs/{name}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@with_error_responses
async def docs_file(req: func.HttpRequest) -> func.HttpResponse:
    """Returns a script or a style sheet of the pages; a browser sends no key for it."""
    return _file(req.route_params["name"])


@blueprint.function_name("unknown_route")  # the last in the alphabet: the host tries it last
@blueprint.route(
    "{*path}",
    methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
    auth_level=DPS_AUTH_LEVEL,
)
@with_error_responses
async def unknown_route(req: func.HttpRequest) -> func.HttpResponse:
    from functions.http.nearest_route import route_error

    raise route_error("/" + req.route_params.get("path", ""), _read(_DOCUMENT))


def _file(name: str) -> func.HttpResponse:
    path = _PAGES / name
    if name not in _MEDIA_TYPES or not path.exists():
        raise RouteNotFoundError([])
    return func.HttpResponse(_read(path), mimetype=_MEDIA_TYPES[name], headers=_HEADERS)


@cache
def _read(path: Path) -> bytes:
    return path.read_bytes()
