"""The DPS client of Microsoft's SDK, sync and async, over http and https."""

from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import HttpResponseError
from azure.iot.deviceprovisioning import DeviceProvisioningClient
from azure.iot.deviceprovisioning.aio import DeviceProvisioningClient as AsyncClient

from local.dps import DpsStandIn
from tests.local.dps.calls import ENROLLMENT, GROUP, OWNER

CREDENTIAL = AzureNamedKeyCredential(OWNER.name, OWNER.primary_key)


@pytest.fixture(params=["http", "https"])
def address(
    request: pytest.FixtureRequest, dps: DpsStandIn, tmp_path: Path
) -> tuple[str, dict[str, Any]]:
    """Endpoint and TLS options for http and for https."""
    if request.param == "http":
        return dps.url, {}
    trusted = tmp_path / "dps.pem"
    trusted.write_bytes(dps.tls_certificate)
    return dps.tls_url, {"connection_verify": str(trusted)}


def test_sync_client(address: tuple[str, dict[str, Any]]) -> None:
    """The sync client creates, reads, queries, gets keys, runs bulk operations and deletes."""
    url, tls = address
    documents = [ENROLLMENT.document(f"dev:{n}") for n in range(3)]
    with DeviceProvisioningClient(url, CREDENTIAL, **tls) as client:
        created = client.enrollment.create_or_update("dev:0", documents[0])
        bulk = client.enrollment.run_bulk_operation({"enrollments": documents, "mode": "create"})
        queried = list(client.enrollment.query({"query": "SELECT *"}, top=2))
        mechanism = client.enrollment.get_attestation_mechanism("dev:0")
        client.enrollment.delete("dev:1")
        read = client.enrollment.get("dev:0")

    assert bulk["errors"][0]["errorCode"] == ENROLLMENT.exists
    assert len(queried) == 3
    assert mechanism == created["attestation"]
    assert read["etag"] == created["etag"]


async def test_async_client(address: tuple[str, dict[str, Any]]) -> None:
    """The async client does the same for groups, and updates with an etag."""
    url, tls = address
    async with AsyncClient(url, CREDENTIAL, **tls) as client:
        groups = client.enrollment_group
        created = await groups.create_or_update("group-1", GROUP.document("group-1"))
        headers = {"If-Match": created["etag"]}
        updated = await groups.create_or_update(
            "group-1", GROUP.document("group-1"), headers=headers
        )
        pages = await groups.query({"query": "SELECT *"})
        queried = [group async for group in pages]
        states = await client.device_registration_state.query("group-1")
        registered = [state async for state in states]
        with pytest.raises(HttpResponseError) as stale:
            await groups.delete("group-1", headers=headers)
        await groups.delete("group-1")

    assert [group["etag"] for group in queried] == [updated["etag"]]
    assert registered == []
    assert stale.value.status_code == 412
