"""The app answers as its OpenAPI document says, for thousands of generated requests."""

import asyncio
import re
import sys

import pytest

from local.stack import Stack

MIN_CASES = 2000
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
)


@pytest.mark.long
async def test_generated_requests_get_documented_responses(stack: Stack) -> None:
    """Schemathesis finds no undocumented status, content type, header or body, and no 500."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{stack.host.url}/openapi.json"),
        *("--checks", ",".join(CHECKS), "--max-examples", "20", "--seed", "1", "--no-color"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )

    output, _ = await asyncio.wait_for(process.communicate(), 600)

    report = output.decode(errors="replace")
    cases = re.search(r"(\d+) generated, (\d+) passed", report)
    assert process.returncode == 0, report
    assert cases is not None, report
    assert int(cases[1]) == int(cases[2]) >= MIN_CASES
