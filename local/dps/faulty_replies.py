"""The answers that faults order."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from local.dps.errors import gateway_body, service_body
from local.dps.replies import Reply
from local.dps.rules import THROTTLED, Refusal

BODILESS = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


def faulty_reply(do: Mapping[str, Any], now: int) -> Reply:
    """The answer that a fault ordered; what it leaves open is made up to fit."""
    status = int(do.get("status", 400 if do.get("gatewayShape") else 502))
    headers = dict(do.get("headers", {}))
    words = next((s.phrase for s in HTTPStatus if s == status), "Unknown")
    if status in BODILESS:
        return Reply(status, None, headers)
    if "body" in do:
        body = do["body"]
        return Reply(status, body.encode() if isinstance(body, str) else body, headers)
    if do.get("html"):
        page = f"<html><head><title>{words}</title></head><body><h1>{words}</h1></body></html>"
        return Reply(status, page.encode(), {"Content-Type": "text/html"} | headers)
    refusal = THROTTLED if status == THROTTLED.status else Refusal(status, status * 1000, words)
    shape = gateway_body if do.get("gatewayShape") else service_body
    return Reply(status, shape(refusal, refusal.message, now), headers)
