"""Microsoft's own client, synchronous and asynchronous, over http and https."""

import pytest
from azure.core.exceptions import HttpResponseError
from azure.iot.deviceprovisioning import DeviceProvisioningClient
from azure.iot.deviceprovisioning.aio import DeviceProvisioningClient as AsyncClient

from tests.local.dps.calls import ENROLLMENT, GROUP


@pytest.fixture(params=["http", "https"])
def address(request, dps, tmp_path):
    """Endpoint and TLS argument of each of the two sockets."""
    authorities = tmp_path / "dps.pem"
    authorities.write_bytes(dps.tls_certificate)
    of = {"http": (dps.url, {}), "https": (dps.tls_url, {"connection_verify": str(authorities)})}
    return of[request.param]


def test_the_synchronous_client_works_unchanged(address, credential):
    """Create, get, query by pages, keys, bulk, delete."""
    url, tls = address
    documents = [ENROLLMENT.document(f"dev:{n}") for n in range(3)]
    with DeviceProvisioningClient(url, credential, **tls) as client:
        created = client.enrollment.create_or_update("dev:0", documents[0])
        bulk = client.enrollment.run_bulk_operation({"enrollments": documents, "mode": "create"})
        found = list(client.enrollment.query({"query": "SELECT *"}, top=2))
        mechanism = client.enrollment.get_attestation_mechanism("dev:0")
        client.enrollment.delete("dev:1")
        got = client.enrollment.get("dev:0")

    assert bulk["errors"][0]["errorCode"] == ENROLLMENT.exists
    assert len(found) == 3
    assert mechanism == created["attestation"]
    assert got["etag"] == created["etag"]


async def test_the_asynchronous_client_works_unchanged(address, credential):
    """The same for groups, with an update under the etag."""
    url, tls = address
    async with AsyncClient(url, credential, **tls) as client:
        groups = client.enrollment_group
        created = await groups.create_or_update("group-1", GROUP.document("group-1"))
        headers = {"If-Match": created["etag"]}
        updated = await groups.create_or_update(
            "group-1", GROUP.document("group-1"), headers=headers
        )
        pages = await groups.query({"query": "SELECT *"})
        found = [group async for group in pages]
        states = await client.device_registration_state.query("group-1")
        registered = [state async for state in states]
        with pytest.raises(HttpResponseError) as stale:
            await groups.delete("group-1", headers=headers)
        await groups.delete("group-1")

    assert [group["etag"] for group in found] == [updated["etag"]]
    assert registered == []
    assert stale.value.status_code == 412
