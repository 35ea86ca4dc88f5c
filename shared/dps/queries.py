"""A query under way, page by page or record by record."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.dps.context import CallContext
from shared.dps.records import Record

if TYPE_CHECKING:
    from shared.dps.transport import Transport


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """
    Part of what a query found; it may be empty and yet not the last.

    `continuation` is opaque and leads to the next page, `None` on the last. `item_type` is DPS's
    name of what the records are: `Enrollment`, `EnrollmentGroup` or `DeviceRegistration`.
    """

    records: list[Record]
    continuation: str | None
    item_type: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """
    What a query finds: `async for record in query`, `async for page in query.by_page()`, or one page.

    `top` is the size of a page; DPS takes 100 for `None`.
    """

    transport: "Transport"
    path: str
    document: Any
    top: int | None
    continuation: str | None
    context: CallContext

    async def page(self, continuation: str | None = None) -> Page:
        """The page that `continuation` leads to; without it the one the query starts with."""
        answer = await self.transport.send(
            "POST",
            self.path,
            document=self.document,
            headers={
                "x-ms-max-item-count": None if self.top is None else str(self.top),
                "x-ms-continuation": continuation or self.continuation,
            },
            context=self.context,
        )
        return Page(
            records=answer.records(),
            continuation=answer.headers.get("x-ms-continuation"),
            item_type=answer.headers.get("x-ms-item-type"),
        )

    async def by_page(self) -> AsyncIterator[Page]:
        """Every page from here on, one call to DPS each."""
        page = await self.page()
        yield page
        while page.continuation:
            page = await self.page(page.continuation)
            yield page

    async def __aiter__(self) -> AsyncIterator[Record]:
        """Every record from here on."""
        async for page in self.by_page():
            for record in page.records:
                yield record
