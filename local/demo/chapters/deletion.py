"""Deletes with etags, until DPS holds no record."""

import asyncio
from functools import partial
from typing import Any

from azure.iot.deviceprovisioning.aio.operations import (
    EnrollmentGroupOperations,
    EnrollmentOperations,
)

from local.demo.checks import expect, expect_error_aio
from local.demo.context import DemoContext
from local.demo.steps import Client, Step, StepSkippedError

Operations = EnrollmentOperations | EnrollmentGroupOperations


def steps(demo: DemoContext) -> list[Step]:
    """Returns a delete that must fail, deletes of all records, and a check that none is left."""
    return [
        Step(
            Client.SDK_AIO,
            "delete with an old etag",
            lambda: demo.run(_delete_with_old_etag(demo)),
        ),
        Step(
            Client.SDK_AIO,
            "delete enrollments with their etags",
            lambda: demo.run(_delete_all(demo.aio.enrollment, list(demo.enrollments))),
        ),
        Step(
            Client.SDK_AIO,
            "delete groups with their etags",
            lambda: demo.run(_delete_all(demo.aio.enrollment_group, list(demo.groups))),
        ),
        Step(Client.SDK_AIO, "get a deleted enrollment", lambda: demo.run(_get_deleted(demo))),
        Step(Client.STAND_IN, "count the records in DPS", partial(_count_records, demo)),
    ]


async def _delete_with_old_etag(demo: DemoContext) -> str:
    id_, record = demo.first_enrollment()
    call = demo.aio.enrollment.delete(id_, if_match=record.stored["etag"])
    return await expect_error_aio(call, 412, 412001)


async def _delete_all(operations: Operations, ids: list[str]) -> str:
    if not ids:
        raise StepSkippedError("none was created")
    await asyncio.gather(*(_delete(operations, id_) for id_ in ids))
    return f"{len(ids)} deleted concurrently"


async def _delete(operations: Operations, id_: str) -> None:
    record: Any = await operations.get(id_)
    await operations.delete(id_, if_match=record["etag"])


async def _get_deleted(demo: DemoContext) -> str:
    id_, _ = demo.first_enrollment()
    return await expect_error_aio(demo.aio.enrollment.get(id_), 404, 404201)


def _count_records(demo: DemoContext) -> str:
    counts = demo.dps_stats()["records"]
    expect("records", {kind: count for kind, count in counts.items() if count}, {})
    return "0 enrollments, groups and states"
