"""Queries: the SDK follows the continuation tokens that pass through the app."""

from collections.abc import AsyncIterable, Collection
from functools import partial
from typing import Any

from local.demo.checks import expect
from local.demo.scene import Scene
from local.demo.steps import Step, Via

OF_FIVE = 5


def steps(scene: Scene) -> list[Step]:
    """Both kinds of records, in pages small enough to need several."""
    return [
        Step(
            Via.SDK_AIO,
            f"query enrollments, {OF_FIVE} a page",
            lambda: scene.run(_enrollments(scene)),
        ),
        Step(Via.SDK_AIO, "query groups, one a page", lambda: scene.run(_groups(scene))),
        Step(Via.SDK, "query enrollments, pages unseen", partial(_unseen, scene)),
    ]


async def _enrollments(scene: Scene) -> str:
    query = {"query": "SELECT * FROM enrollments"}
    found = await scene.aio.enrollment.query(query, top=OF_FIVE)
    return await paged(found.by_page(), "registrationId", scene.enrollments, at_most=OF_FIVE)


async def _groups(scene: Scene) -> str:
    query = {"query": "SELECT * FROM enrollmentGroups"}
    found = await scene.aio.enrollment_group.query(query, top=1)
    return await paged(found.by_page(), "enrollmentGroupId", scene.groups, at_most=1)


async def paged(
    pages: AsyncIterable[AsyncIterable[Any]], member: str, wanted: Collection[str], *, at_most: int
) -> str:
    """Reads all pages: each full but the last, and every wanted id once and no other."""
    ids = [[record[member] async for record in page] async for page in pages]
    sizes = [len(page) for page in ids]
    expect("full pages", {*sizes[:-1]} <= {at_most} and sizes[-1] <= at_most, wanted=True)
    expect("ids", sorted(id_ for page in ids for id_ in page), sorted(wanted))
    count = f"{len(sizes)} page{'s' * (len(sizes) != 1)}"
    return f"{sum(sizes)} on {count}: {' + '.join(map(str, sizes))}"


def _unseen(scene: Scene) -> str:
    found = scene.sdk.enrollment.query({"query": "SELECT * FROM enrollments"}, top=2)
    ids = [record["registrationId"] for record in found]
    expect("ids", sorted(ids), sorted(scene.enrollments))
    return f"{len(ids)}, as one sequence"
