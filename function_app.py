"""The function app: registers every trigger of `functions/` and masks secrets in logs."""

import azure.functions as func

from functions import (
    allocation,
    bulk_operations,
    documentation,
    enrollment_groups,
    enrollment_requests,
    enrollments,
    health,
    registration_states,
    rejected_messages,
)
from shared.redaction import redact_logs

redact_logs()

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)

for _module in (
    allocation,
    bulk_operations,
    documentation,
    enrollment_groups,
    enrollment_requests,
    enrollments,
    health,
    registration_states,
    rejected_messages,
):
    app.register_functions(_module.blueprint)
