"""Function keys: who may call a function."""

import hmac

from aiohttp import web

from local.host.conversion import query_values


def admits(key: str | None, auth_level: str, request: web.Request) -> bool:
    """Whether `request` may call a function of `auth_level`; without a `key` everyone may.

    One key stands for function, host and master keys. The header wins over the query, even when it
    is wrong (azure-functions-host, AuthenticationLevelHandler.cs).
    """
    if key is None or auth_level == "ANONYMOUS":
        return True
    given = request.headers.get("x-functions-key")
    if given is None:
        given = next(
            (v[0] for name, v in query_values(request).items() if name.lower() == "code"), ""
        )
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), key.encode())
