"""Deletes, each guarded by its etag; at the end nothing is left."""

import asyncio
from functools import partial
from typing import Any

from azure.iot.deviceprovisioning.aio.operations import (
    EnrollmentGroupOperations,
    EnrollmentOperations,
)

from local.demo.checks import expect, refused_aio
from local.demo.scene import Scene
from local.demo.steps import NothingToShowError, Step, Via

Operations = EnrollmentOperations | EnrollmentGroupOperations


def steps(scene: Scene) -> list[Step]:
    """One that is refused, then all the others."""
    return [
        Step(Via.SDK_AIO, "delete one, by its first etag", lambda: scene.run(_stale(scene))),
        Step(
            Via.SDK_AIO,
            "delete enrollments, by their etags",
            lambda: scene.run(_delete(scene.aio.enrollment, list(scene.enrollments))),
        ),
        Step(
            Via.SDK_AIO,
            "delete groups, by their etags",
            lambda: scene.run(_delete(scene.aio.enrollment_group, list(scene.groups))),
        ),
        Step(Via.SDK_AIO, "get one that is gone", lambda: scene.run(_gone(scene))),
        Step(Via.STAND_IN, "count what is left in DPS", partial(_left, scene)),
    ]


async def _stale(scene: Scene) -> str:
    id_, record = scene.first()
    call = scene.aio.enrollment.delete(id_, if_match=record.answer["etag"])
    return await refused_aio(call, 412, 412001)


async def _delete(on: Operations, ids: list[str]) -> str:
    if not ids:
        raise NothingToShowError("none was written")
    await asyncio.gather(*(_delete_one(on, id_) for id_ in ids))
    return f"{len(ids)} gone, all at the same time"


async def _delete_one(on: Operations, id_: str) -> None:
    record: Any = await on.get(id_)
    await on.delete(id_, if_match=record["etag"])


async def _gone(scene: Scene) -> str:
    id_, _ = scene.first()
    return await refused_aio(scene.aio.enrollment.get(id_), 404, 404201)


def _left(scene: Scene) -> str:
    left = scene.stats()["records"]
    expect("records", {kind: count for kind, count in left.items() if count}, {})
    return "0 enrollments, groups, registrations"
