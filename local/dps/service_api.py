"""The operations of the service API 2021-10-01, at the paths of the REST specification."""

from collections.abc import Iterator

from local.dps.bulk import Bulk
from local.dps.enrollments import Enrollments
from local.dps.options import Options, Right
from local.dps.records import Records
from local.dps.registrations import Registrations
from local.dps.routing import Operation

# ?: reading keys needs no more than reading; a role of Entra has an action of its own for it.
READ, WRITE = Right.ENROLLMENT_READ, Right.ENROLLMENT_WRITE


def service_api(
    options: Options, enrollments: Records, groups: Records, registrations: Records
) -> Iterator[Operation]:
    """The operations of the service API over these records."""
    collections = [
        Enrollments(records=records, registrations=registrations, options=options)
        for records in (enrollments, groups)
    ]
    for collection in collections:
        yield from _enrollments(collection)
    yield from _registrations(Registrations(records=registrations))


def _enrollments(on: Enrollments) -> Iterator[Operation]:
    bulk = Bulk(enrollments=on)
    root = on.kind.path
    one, query, mechanism = f"{root}/{{id}}", f"{root}/query", f"{root}/{{id}}/attestationmechanism"
    for name, method, path, right, run in (
        ("get", "GET", one, READ, on.get),
        ("put", "PUT", one, WRITE, on.put),
        ("delete", "DELETE", one, WRITE, on.delete),
        ("query", "POST", query, READ, on.query),
        ("attestationMechanism", "POST", mechanism, READ, on.attestation_mechanism),
    ):
        yield Operation(name=f"{root}.{name}", method=method, path=path, right=right, run=run)
    yield Operation(
        name=f"{root}.bulk",
        method="POST",
        path=root,
        right=WRITE,
        run=bulk.run,
        is_bulk=True,
        count_items=bulk.count_items,
    )


def _registrations(on: Registrations) -> Iterator[Operation]:
    one, query = "registrations/{id}", "registrations/{id}/query"
    read, write = Right.REGISTRATION_STATUS_READ, Right.REGISTRATION_STATUS_WRITE
    for name, method, path, right, run in (
        ("get", "GET", one, read, on.get),
        ("delete", "DELETE", one, write, on.delete),
        ("query", "POST", query, read, on.query),
    ):
        yield Operation(
            name=f"registrations.{name}", method=method, path=path, right=right, run=run
        )
