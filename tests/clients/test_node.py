"""The unmodified DPS service client for Node.js works with the app in SAS mode, over TLS."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from local.dps import DpsStandIn
from local.stack import ROOT
from tests import secret_factory
from tests.processes import run_modules

POLICY = secret_factory.access_policy(
    "EnrollmentRead", "EnrollmentWrite", "RegistrationStatusRead", "RegistrationStatusWrite"
)
PACKAGES = ROOT / ".venv" / "node" / "node_modules"
"""Where `make test-all` installs the client."""
EXPECTED = {
    "create": "node-1",
    "update": "disabled",
    "attestation": "symmetricKey",
    "query": 1,
    "bulk": [409201],
    "delete": "found",
    "deleteWithEtag": "found",
    "gone": 404,
    "createGroup": "node-group",
    "getGroup": "node-group",
    "groupAttestation": "symmetricKey",
    "queryGroups": 1,
    "queryStates": [],
    "getState": 404,
    "deleteState": 404,
    "deleteGroup": "found",
}


@pytest.fixture
async def connection(dps: DpsStandIn, tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """The app in SAS mode with https: the variables of a client that trusts its certificate."""
    certificate = tmp_path / "certificate.pem"
    async with run_modules() as start:
        process = await start(
            *("local.host", "--app", ROOT, "--port", 0, "--certificate", certificate),
            DPS_CONNECTION_STRING=dps.connection_string,
            SHARED_ACCESS_POLICIES=json.dumps([POLICY]),
            LOCAL_FUNCTION_KEY=secret_factory.function_key(),
        )
        banner = await asyncio.wait_for(process.stdout.readuntil(b"ready\n"), 30)
        url = urlsplit(banner.decode().splitlines()[1].split()[-1])
        policy = f"SharedAccessKeyName=owner;SharedAccessKey={POLICY['primaryKey']}"
        yield {
            "CONNECTION_STRING": f"HostName=localhost;{policy}",
            "PORT": str(url.port),
            "NODE_EXTRA_CA_CERTS": str(certificate),
        }


@pytest.mark.long
async def test_every_operation_of_the_node_client(connection: dict[str, str]) -> None:
    """With a changed host name in its connection string, and nothing else."""
    process = await asyncio.create_subprocess_exec(
        *("node", Path(__file__).with_name("node_client.js")),
        stdout=asyncio.subprocess.PIPE,
        env={
            **os.environ,  # noqa: TID251  the child's
            **connection,
            "KEY": secret_factory.symmetric_key(),
            "NODE_PATH": str(PACKAGES),
        },
    )

    output, _ = await asyncio.wait_for(process.communicate(), 60)

    assert dict(map(json.loads, output.decode().splitlines())) == EXPECTED
