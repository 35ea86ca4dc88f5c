"""A client that openapi-generator makes from the OpenAPI document works with the app."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.dps import Options
from local.stack import ROOT, Stack
from local.threads import in_thread
from tests.secret_factory import function_key

KEY = function_key()


@pytest.fixture(scope="module")
def url(environment: pytest.MonkeyPatch) -> Iterator[str]:  # noqa: ARG001  removes other settings
    """The app, which requires a function key."""
    with in_thread(Stack(Options(port=0, tls_port=0), functions_port=0, key=KEY)) as stack:
        yield stack.host.url


async def run(*command: object, **variables: str) -> str:
    """Returns what a command prints; it must exit with 0."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | variables,  # noqa: TID251  the child's
    )
    out, err = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.mark.long
async def test_generated_python_client(url: str, tmp_path: Path) -> None:
    """It creates, gets, queries, runs a bulk operation, deletes, and reads an error."""
    document = ROOT / "functions" / "openapi.json"
    options = ("-g", "python", "--package-name", "enrollment_client")
    generator = Path(sys.executable).with_name("openapi-generator-cli")
    await run(generator, "generate", "-i", document, "-o", tmp_path, *options)

    script = Path(__file__).with_name("generated_client.py")
    output = await run(sys.executable, script, url, KEY=KEY, PYTHONPATH=str(tmp_path))

    assert dict(map(json.loads, output.splitlines())) == {
        "create": "hashed",
        "get": "dev-1",
        "query": ["dev-1"],
        "bulk": [409201],
        "deleted": 404201,
    }
