"""A refusal on its way to the caller."""

import uuid
from collections.abc import Mapping
from typing import Any

from local.dps.rules import Refusal
from local.dps.timestamps import timestamp


class Refused(Exception):  # noqa: N818 - it is an answer of the service, not an error of ours
    """Raised by whatever decides against a request; `message` replaces the refusal's words."""

    def __init__(
        self,
        refusal: Refusal,
        message: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message or refusal.message)
        self.refusal = refusal
        self.message = message or refusal.message
        # D: declared for the error response; I: no recording shows one.
        self.headers = {"x-ms-error-code": str(refusal.code), **(headers or {})}


def service_body(refusal: Refusal, message: str, now: int) -> dict[str, Any]:
    """The usual shape (D: ProvisioningServiceErrorDetails)."""
    return {
        "errorCode": refusal.code,
        "trackingId": str(uuid.uuid4()),
        "message": message,
        "timestampUtc": timestamp(now),
    }


def gateway_body(_: Refusal, message: str, now: int) -> dict[str, Any]:
    """The shape of the gateway in front (I: azure-iot-sdk-csharp#3479)."""
    return {
        "Message": f"ErrorCode:ArgumentInvalid;{message}",
        "ExceptionMessage": f"Tracking ID:{uuid.uuid4()}-G2:-TimeStamp:{timestamp(now)}",
    }


def error_body(refused: Refused, now: int) -> dict[str, Any]:
    """The body for `refused`, in the shape of whoever refuses."""
    shape = gateway_body if refused.refusal.by_gateway else service_body
    return shape(refused.refusal, refused.message, now)
