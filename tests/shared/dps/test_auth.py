"""Signing in to DPS: with a policy's key, and with Microsoft Entra."""

from base64 import b64encode
from urllib.parse import parse_qs

import pytest

from local.dps import DpsStandIn
from shared.dps import DpsClient
from shared.dps.auth import SharedAccessSignature
from shared.errors import DpsCredentialError
from shared.settings import ConnectionString, Settings


class Clock:
    """Seconds since 1970, as the test sets them."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def signature(clock: Clock) -> SharedAccessSignature:
    """A signature for a published key, so that it can be compared with Microsoft's."""
    key = b64encode(bytes(range(32))).decode()
    host = "mydps.azure-devices-provisioning.net"
    connection_string = (
        f"HostName={host};SharedAccessKeyName=provisioningserviceowner;SharedAccessKey={key}"
    )
    return SharedAccessSignature(ConnectionString.parse(connection_string), clock=clock)


async def test_signature_is_the_one_microsofts_sdk_makes():
    """For the same key, host, policy and expiry azure-iot-deviceprovisioning 1.0.0b1 signs this."""
    clock = Clock(1_700_000_000 - SharedAccessSignature.LIFETIME)

    header = await signature(clock).authorization()

    assert header == (
        "SharedAccessSignature sr=mydps.azure-devices-provisioning.net"
        "&sig=%2B5V0HFPIoMYrcltM2Jj4oxVByh5pkp677OYUHTEHW70%3D"
        "&se=1700000000&skn=provisioningserviceowner"
    )


async def test_signature_is_kept_until_shortly_before_it_lapses():
    """A signature is made anew five minutes before its hour is over, and not sooner."""
    clock = Clock(1_000_000)
    credential = signature(clock)
    first = await credential.authorization()

    clock.now += 3299
    kept = await credential.authorization()
    clock.now += 2
    renewed = await credential.authorization()

    assert kept == first
    assert int(parse_qs(renewed)["se"][0]) == int(clock.now + 3600)


@pytest.fixture
def identity(dps: DpsStandIn, monkeypatch) -> DpsStandIn:
    """The stand-in as the identity endpoint that App Service gives an app."""
    for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{dps.url}/_identity/token")
    monkeypatch.setenv("IDENTITY_HEADER", dps.options.identity_header)
    return dps


async def test_managed_identity_opens_dps(identity: DpsStandIn):
    """With DPS_ENDPOINT alone the app's identity signs in: a real DefaultAzureCredential."""
    async with DpsClient(Settings.read({"DPS_ENDPOINT": identity.url})) as client:
        page = await client.enrollments.query({"query": "SELECT *"}).page()

    assert page.records == []


async def test_no_identity_is_a_credential_error(dps: DpsStandIn, monkeypatch):
    """Where no token is to be had, the error says it is the app's credential, and nothing is sent."""
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")

    async with DpsClient(Settings.read({"DPS_ENDPOINT": dps.url})) as client:
        with pytest.raises(DpsCredentialError):
            await client.enrollments.get("dev-1")

    assert dps.requests == []
