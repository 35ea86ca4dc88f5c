"""A batch writer, and bulk operations over HTTP."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from shared.dps import CallContext, DpsClient
from shared.dps.batching.bulk_operation import BulkOperation, find_bulk_faults
from shared.dps.batching.items import ItemResult
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
    """Runs a bulk operation on individual enrollments; returns the results with errors."""

    async def run(mode: str, documents: Sequence[Any], *, seconds: float = 60) -> list[ItemResult]:
        resource, document = client.enrollments, {"mode": mode, "enrollments": documents}
        assert find_bulk_faults(document, kind=resource.kind) == {}
        operation = await BulkOperation.read(
            resource, document, size=len(json.dumps(document)), context=CallContext()
        )
        results = await operation.run(timeout=seconds, min_call_seconds=min(seconds, 10))
        return [result for result in results if result.error]

    return run
