"""The function app: registers every trigger of `functions/`, sets up the log, masks secrets in it."""

import logging

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
from shared.settings import azure_sdk_log_level

redact_logs()
logging.getLogger("azure").setLevel(azure_sdk_log_level())

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
