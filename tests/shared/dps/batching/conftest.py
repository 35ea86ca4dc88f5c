"""A batch writer, and bulk operations over HTTP."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from shared.dps import CallContext, DpsClient
from shared.dps.batching.bulk_operation import Failure, run_bulk_operation
from shared.dps.batching.writer import BatchWriter
from tests.shared.dps.batching.changes import RunBulk, new_writer


@pytest.fixture
async def writer(client: DpsClient) -> AsyncIterator[BatchWriter]:
    """A batch writer to `client`; its calls are cancelled at the end of the test."""
    writer = new_writer(client)
    yield writer
    await writer.aclose(timeout=0)


@pytest.fixture
def run_bulk(client: DpsClient) -> RunBulk:
    """Runs a bulk operation on individual enrollments."""

    async def run(mode: str, documents: Sequence[Any], *, seconds: float = 60) -> list[Failure]:
        operation = {"mode": mode, "enrollments": documents}
        return await run_bulk_operation(
            client.enrollments, operation, timeout=seconds, context=CallContext()
        )

    return run
