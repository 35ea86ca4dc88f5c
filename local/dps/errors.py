"""Errors of the DPS APIs: their codes and messages, and the bodies of error responses."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from local.dps.timestamps import timestamp


@dataclass(frozen=True)
class ErrorType:
    """HTTP status, six-digit error code and message of one type of error."""

    status: int
    code: int
    message: str
    # Reported (azure-iot-sdk-csharp#3479): the gateway in front of DPS has its own body shape.
    from_gateway: bool = False


# Reported: 400004 covers all faults of a document, each with its own message.
INVALID_REQUEST: Final = ErrorType(400, 400004, "Bad Request")
# Reported: for a continuation token of another query.
BAD_REQUEST: Final = ErrorType(400, 400000, "Bad Request")
# Reported: azure-iot-sdk-csharp#3479.
UNKNOWN_API_VERSION: Final = ErrorType(400, 400000, "Unknown api version", from_gateway=True)
# Reported.
UNAUTHORIZED: Final = ErrorType(401, 401002, "Unauthorized")
# Reported: azure-iot-sdk-node#547, azure-iot-sdk-c#2270.
INVALID_CERTIFICATE: Final = ErrorType(401, 401002, "Invalid certificate.")
# Reported: azure-iot-sdk-c#1900, azure-iot-sdk-java#573.
AUTHORITY_NOT_FOUND: Final = ErrorType(401, 401002, "CA certificate not found.")
# Reported: iotedge#2739.
CHAIN_MISMATCH: Final = ErrorType(
    401, 401002, "Signing certificate info did not match chain elements."
)
# SDK: the code. Assumed: the message.
FORBIDDEN: Final = ErrorType(403, 403000, "Forbidden")
# Tested: the codes of a missing enrollment and a missing group. Assumed: all the rest.
ENROLLMENT_NOT_FOUND: Final = ErrorType(404, 404201, "Enrollment not found.")
GROUP_NOT_FOUND: Final = ErrorType(404, 404204, "EnrollmentGroup not found.")
REGISTRATION_NOT_FOUND: Final = ErrorType(404, 404202, "Registration not found.")
OPERATION_NOT_FOUND: Final = ErrorType(404, 404000, "Operation not found.")
PATH_NOT_FOUND: Final = ErrorType(404, 404000, "Not Found")
# Documented: the status. Assumed: code and message.
METHOD_NOT_ALLOWED: Final = ErrorType(405, 405000, "Method Not Allowed")
# Recorded.
ENROLLMENT_EXISTS: Final = ErrorType(409, 409201, "Enrollment already exists.")
GROUP_EXISTS: Final = ErrorType(409, 409202, "EnrollmentGroup already exists.")
# Reported: for a device that registers twice at the same time.
REGISTRATION_IN_PROGRESS: Final = ErrorType(409, 409203, "Precondition failed.")
# Documented: the status. Assumed: the code.
PRECONDITION_FAILED: Final = ErrorType(412, 412001, "Precondition failed.")
# Assumed.
BODY_TOO_LARGE: Final = ErrorType(413, 413000, "Request Entity Too Large")
# Documented: the status. Assumed: code and message.
UNSUPPORTED_MEDIA_TYPE: Final = ErrorType(415, 415000, "Unsupported Media Type")
# SDK.
THROTTLED: Final = ErrorType(429, 429001, "Operations are being throttled for this tenant.")


class ApiError(Exception):
    """An error response of DPS; `message` replaces the message of the type."""

    def __init__(
        self,
        type_: ErrorType,
        message: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message or type_.message)
        self.type = type_
        self.message = message or type_.message
        # Documented: the x-ms-error-code of error responses, which no recording shows.
        self.headers = {"x-ms-error-code": str(type_.code), **(headers or {})}


def error_body(type_: ErrorType, message: str, now: int) -> dict[str, Any]:
    """Returns the body of an error response at `now`, in nanoseconds."""
    create = gateway_error_body if type_.from_gateway else service_error_body
    return create(type_, message, now)


def service_error_body(type_: ErrorType, message: str, now: int) -> dict[str, Any]:
    """Returns a ProvisioningServiceErrorDetails (documented)."""
    return {
        "errorCode": type_.code,
        "trackingId": str(uuid.uuid4()),
        "message": message,
        "timestampUtc": timestamp(now),
    }


def gateway_error_body(_: ErrorType, message: str, now: int) -> dict[str, Any]:
    """Returns the error body of the gateway (reported: azure-iot-sdk-csharp#3479)."""
    return {
        "Message": f"ErrorCode:ArgumentInvalid;{message}",
        "ExceptionMessage": f"Tracking ID:{uuid.uuid4()}-G2:-TimeStamp:{timestamp(now)}",
    }
