"""The function app: every trigger of `functions/`, and a log without secrets."""

import azure.functions as func

from functions import (
    allocation,
    enrollment_groups,
    enrollments,
    operations,
    registration_states,
)
from shared.redaction import redact_logs

redact_logs()

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)

for _part in (allocation, enrollment_groups, enrollments, operations, registration_states):
    app.register_functions(_part.blueprint)
