"""What DPS decides, as far as anybody outside can know it, for the APIs of 2021-10-01.

Each rule here and in the modules that use it bears a mark for how it is known:
R recorded: the recordings of azure-sdk-for-python's azure-iot-deviceprovisioning tests
E asserted by a Microsoft test that runs against the live service
D documented: learn.microsoft.com/azure/iot-dps and the REST specification
I answers of the live service quoted in GitHub issues
M source or mocks of Microsoft's SDKs and CLI
? our choice: nothing public tells
"""

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Refusal:
    """One way of saying no: HTTP status, DPS's six digits, DPS's words."""

    status: int
    code: int
    message: str
    by_gateway: bool = False  # I: the gateway in front words its errors in another shape


# I: 400004 is every fault of a document; the words vary. I: 400000 is a foreign continuation.
INVALID: Final = Refusal(400, 400004, "Bad Request")
BAD_REQUEST: Final = Refusal(400, 400000, "Bad Request")
UNKNOWN_API_VERSION: Final = Refusal(400, 400000, "Unknown api version", by_gateway=True)  # I
UNAUTHORIZED: Final = Refusal(401, 401002, "Unauthorized")  # I
FORBIDDEN: Final = Refusal(403, 403000, "Forbidden")  # M for the code, ? for the words
NO_SUCH_PATH: Final = Refusal(404, 404000, "Not Found")  # ?
NO_ENROLLMENT: Final = Refusal(404, 404201, "Enrollment not found.")  # E for the code
NO_REGISTRATION: Final = Refusal(404, 404202, "Registration not found.")  # ?
NO_OPERATION: Final = Refusal(404, 404000, "Operation not found.")  # ?
NO_GROUP: Final = Refusal(404, 404204, "EnrollmentGroup not found.")  # E for the code
WRONG_METHOD: Final = Refusal(405, 405000, "Method Not Allowed")  # D for the status
ENROLLMENT_EXISTS: Final = Refusal(409, 409201, "Enrollment already exists.")  # R
GROUP_EXISTS: Final = Refusal(409, 409202, "EnrollmentGroup already exists.")  # R
BUSY: Final = Refusal(409, 409203, "Precondition failed.")  # I: a device registers twice at once
STALE: Final = Refusal(412, 412001, "Precondition failed.")  # D for the status, ? for the code
TOO_LARGE: Final = Refusal(413, 413000, "Request Entity Too Large")  # ?
WRONG_MEDIA_TYPE: Final = Refusal(415, 415000, "Unsupported Media Type")  # D for the status
THROTTLED: Final = Refusal(  # M
    429, 429001, "Operations are being throttled for this tenant."
)

# How a registration fails: code and words, the latter with the status of the webhook's answer.
ALLOCATION_FAILED: Final = (400207, "Custom allocation failed with status code: {}")  # D, I
HUB_NOT_SPECIFIED: Final = (400208, "Custom allocation did not specify an IoT hub")  # D, ? words
ALLOCATION_UNAUTHORIZED: Final = (400209, "Custom allocation was not authorized")  # D, ? words
# ?: nothing public tells what becomes of these.
HUB_NOT_LINKED: Final = (400207, "Custom allocation failed: the IoT hub is not among linkedHubs")
NO_ANSWER: Final = (400207, "Custom allocation failed: the webhook does not answer")
NO_HUB: Final = (400000, "No IoT hub is linked to the provisioning service")  # E that it fails
UNKNOWN_TPM: Final = (NO_ENROLLMENT.code, NO_ENROLLMENT.message)  # E for the code
BROKEN: Final = (500000, "Internal Server Error")

# D: concepts-custom-allocation. A webhook that answers 429 or above is called again so often.
RETRY_FROM: Final = 429
RETRIES: Final = 10
FIRST_RETRY_SECONDS: Final = 1
RETRY_INCREMENT_SECONDS: Final = 9

# I: the text of azure-docs#17690 and sdk-c#405; the group's is its twin (?).
CUSTOM_NEEDS_DEFINITION: Final = (
    "A CustomAllocationDefinition is required when the allocation policy is set to 'Custom'"
)
INVALID_ID: Final = {
    "registrationId": "Invalid RegistrationId",
    "enrollmentGroupId": "Invalid EnrollmentGroupId",
}
INVALID_ETAG: Final = "ETag is invalid"  # I: azure-iot-sdk-csharp#3076

# D: up to 128 of these, the last one alphanumeric or a dash; case does not count.
ID: Final = re.compile(r"[A-Za-z0-9._:-]{0,127}[A-Za-z0-9-]")
# D: the device ids of IoT Hub.
DEVICE_ID: Final = re.compile(r"[A-Za-z0-9\-.%_*?!(),:=@$'+#]{1,128}")
KEY_BYTES: Final = range(16, 65)  # D
GENERATED_KEY_BYTES: Final = 64  # D

BULK_LIMIT: Final = 10  # D; ?: more are refused as a whole
PAGE_SIZE: Final = 100  # R; ?: any larger size asked for is honoured
MAX_BODY: Final = 1024 * 1024  # ?
CLOCK_SKEW_SECONDS: Final = 300  # M: azure-iot-sdk-csharp's SharedAccessSignature

# R: these and no ETag, x-ms-request-id or x-ms-max-item-count.
EVERY_REPLY: Final = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}
JSON: Final = "application/json; charset=utf-8"
