"""Calls the app with a generated client, and prints a line of JSON for each call."""

import json
import os
import sys

# The client is generated before this script runs.
from enrollment_client import (  # type: ignore[import-not-found]
    ApiClient,
    ApiException,
    BulkEnrollmentOperation,
    Configuration,
    IndividualEnrollment,
    IndividualEnrollmentsApi,
    QuerySpecification,
)


def main() -> None:
    """Creates, reads, queries, creates in bulk, and deletes."""
    url, key = sys.argv[1], os.environ["KEY"]  # noqa: TID251  a script of its own
    configuration = Configuration(host=url, api_key={"functionKey": key})
    with ApiClient(configuration) as client:
        api = IndividualEnrollmentsApi(client)
        device = {"registrationId": "dev-1", "attestation": {"type": "symmetricKey"}}
        created = api.enrollments_create_or_update(
            "dev-1", IndividualEnrollment.from_dict({**device, "allocationPolicy": "hashed"})
        )
        report("create", created.allocation_policy)
        report("get", api.enrollments_get("dev-1").registration_id)
        found = api.enrollments_query(QuerySpecification.from_dict({"query": "SELECT *"}))
        report("query", [item.registration_id for item in found])
        bulk = {"mode": "create", "enrollments": [device, {**device, "registrationId": "dev-2"}]}
        result = api.enrollments_run_bulk_operation(BulkEnrollmentOperation.from_dict(bulk))
        report("bulk", [error.error_code for error in result.errors])
        api.enrollments_delete("dev-1", if_match=created.etag)
        try:
            api.enrollments_get("dev-1")
        except ApiException as error:
            report("deleted", json.loads(error.body)["errorCode"])


def report(step: str, value: object) -> None:
    """Prints what a call returned."""
    print(json.dumps([step, value]))  # noqa: T201


main()
