"""The function app: every trigger of `functions/`, and a log without secrets."""

import azure.functions as func

from functions import (
    allocation,
    bulk_operations,
    enrollment_groups,
    enrollment_requests,
    enrollments,
    operations,
    registration_states,
)
from shared.redaction import redact_logs

redact_logs()

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)

for _part in (
    allocation,
    bulk_operations,
    enrollment_groups,
    enrollment_requests,
    enrollments,
    operations,
    registration_states,
):
    app.register_functions(_part.blueprint)
