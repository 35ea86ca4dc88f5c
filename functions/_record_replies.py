"""HTTP out: records, pages and bulk results as DPS answers them."""

from collections.abc import Sequence
from http import HTTPStatus

import azure.functions as func

from functions import _replies
from functions._outcomes import code_of
from shared.dps import Record
from shared.dps.bulk import Failure
from shared.dps.certificate_names import misnamed_certificates
from shared.dps.queries import Page


def record(found: Record) -> func.HttpResponse:
    """One record; its etag as a header too (RFC 9110), which DPS itself does not send."""
    return _replies.document(found, headers={"ETag": found.etag and f'"{found.etag}"'})


def written(found: Record) -> func.HttpResponse:
    """A record just written; a `Warning` says which of its certificates no device can use."""
    reply = record(found)
    if places := misnamed_certificates(found):
        words = f"The common name of certificate {', '.join(places)} is not the registrationId."
        reply.headers["Warning"] = f'299 - "{words}"'  # the form of RFC 7234, as Kubernetes uses it
    return reply


def secret(found: Record) -> func.HttpResponse:
    """A record no cache may keep."""
    return _replies.document(found, headers={"Cache-Control": "no-store"})


def page(found: Page) -> func.HttpResponse:
    """The records of a page, and where the next one is."""
    return _replies.document(
        found.records,
        headers={
            "x-ms-continuation": found.continuation,
            "x-ms-item-type": found.item_type,
        },
    )


def bulk_result(failures: Sequence[Failure], id_member: str) -> func.HttpResponse:
    """The result of a bulk operation that was split, in the shape of DPS's own."""
    errors = [
        {
            id_member: failure.id,
            "errorCode": code_of(failure.error),
            "errorStatus": str(failure.error),
        }
        for failure in failures
    ]
    return _replies.document({"errors": errors, "isSuccessful": not errors})


def nothing() -> func.HttpResponse:
    """Done, and nothing to say."""
    return func.HttpResponse(status_code=HTTPStatus.NO_CONTENT)
