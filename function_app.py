"""The function app: every trigger of `functions/`, nothing else."""

import azure.functions as func

from functions import enrollment_groups, enrollments, operations, registration_states

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)

for _part in (enrollment_groups, enrollments, operations, registration_states):
    app.register_functions(_part.blueprint)
