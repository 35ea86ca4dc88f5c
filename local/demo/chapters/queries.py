"""Queries with continuation tokens, which the app passes through."""

from collections.abc import AsyncIterable, Collection
from functools import partial
from typing import Any

from local.demo.checks import expect
from local.demo.context import DemoContext
from local.demo.steps import Client, Step

PAGE_SIZE = 5


def steps(demo: DemoContext) -> list[Step]:
    """Returns queries with pages small enough that there are several."""
    return [
        Step(
            Client.SDK_AIO,
            f"query enrollments, {PAGE_SIZE} per page",
            lambda: demo.run(_query_enrollments(demo)),
        ),
        Step(Client.SDK_AIO, "query groups, 1 per page", lambda: demo.run(_query_groups(demo))),
        Step(Client.SDK, "query enrollments as one sequence", partial(_query_all, demo)),
    ]


async def _query_enrollments(demo: DemoContext) -> str:
    query = {"query": "SELECT * FROM enrollments"}
    records = await demo.aio.enrollment.query(query, top=PAGE_SIZE)
    return await expect_pages(
        records.by_page(), "registrationId", demo.enrollments, page_size=PAGE_SIZE
    )


async def _query_groups(demo: DemoContext) -> str:
    query = {"query": "SELECT * FROM enrollmentGroups"}
    records = await demo.aio.enrollment_group.query(query, top=1)
    return await expect_pages(records.by_page(), "enrollmentGroupId", demo.groups, page_size=1)


async def expect_pages(
    pages: AsyncIterable[AsyncIterable[Any]],
    member: str,
    expected: Collection[str],
    *,
    page_size: int,
) -> str:
    """Reads all pages; all but the last must be full, and hold every expected id once."""
    ids = [[record[member] async for record in page] async for page in pages]
    sizes = [len(page) for page in ids]
    full = {*sizes[:-1]} <= {page_size} and sizes[-1] <= page_size
    expect("full pages", full, expected=True)
    expect("ids", sorted(id_ for page in ids for id_ in page), sorted(expected))
    count = f"{len(sizes)} page{'s' * (len(sizes) != 1)}"
    return f"{sum(sizes)} on {count}: {' + '.join(map(str, sizes))}"


def _query_all(demo: DemoContext) -> str:
    records = demo.sdk.enrollment.query({"query": "SELECT * FROM enrollments"}, top=2)
    ids = [record["registrationId"] for record in records]
    expect("ids", sorted(ids), sorted(demo.enrollments))
    return f"{len(ids)}, each once"
