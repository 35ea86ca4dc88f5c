"""Authorization of DPS's own routes: a function key, or in SAS mode a shared access signature."""

import logging
import re
from collections.abc import Callable
from functools import partial
from urllib.parse import urlsplit

import azure.functions as func

from functions.http.responses import Trigger, with_error_responses
from functions.runtime import access_control
from shared.errors import UnauthorizedError
from shared.settings import Right, dps_routes_auth_level

DPS_AUTH_LEVEL = func.AuthLevel[dps_routes_auth_level().upper()]
"""The authorization level of DPS's own routes: in SAS mode the host lets every caller pass."""

_LOG = logging.getLogger(__name__)
_HOST = re.compile(r"[\w.-]*(:\d*)?|\[[\da-f:.]*\](:\d*)?", re.ASCII | re.IGNORECASE)


def requires(right: Right) -> Callable[[Trigger], Trigger]:
    """
    Returns the decorator of a trigger of DPS's own routes.

    It does what `with_error_responses` does. In SAS mode it first requires a signature whose policy
    has the right; nothing of the request is parsed before.
    """
    if DPS_AUTH_LEVEL != func.AuthLevel.ANONYMOUS:
        return with_error_responses
    return partial(with_error_responses, authorize=partial(_authorize, right=right))


def _authorize(req: func.HttpRequest, *, right: Right) -> None:
    policy = access_control().authorize(
        req.headers.get("authorization"), path=_path(req), right=right
    )
    _LOG.info("%s authorized by the shared access policy %s", req.method, policy)


def _path(req: func.HttpRequest) -> str:
    """
    Returns the path of the URL, which the host makes with the header `Host`.

    Raises `UnauthorizedError` for a header with more than a host: it could have another path.
    """
    if not _HOST.fullmatch(req.headers.get("host", "")):
        raise UnauthorizedError
    path: str = urlsplit(req.url).path
    return path
