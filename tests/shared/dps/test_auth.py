"""Signing in to DPS: with a policy's key, and with Microsoft Entra."""

import socket
from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import parse_qs

import pytest

from local.dps import DpsStandIn
from shared.dps import DpsClient
from shared.dps.auth import SharedAccessSignature
from shared.errors import DpsCredentialError
from shared.settings import ConnectionString, Settings
from tests.secret_factory import connection_string, symmetric_key


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
    named = f"HostName={host};SharedAccessKeyName=provisioningserviceowner;SharedAccessKey={key}"
    return SharedAccessSignature(ConnectionString.parse(named), clock=clock)


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


def test_credential_prints_no_secret():
    """Neither the credential nor the connection string it was made from shows the key."""
    key = symmetric_key()
    parsed = ConnectionString.parse(connection_string("host", key=key))

    assert key not in f"{SharedAccessSignature(parsed)!r} {parsed!r} {parsed}"


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


@pytest.mark.parametrize(
    "variable", [("AZURE_TOKEN_CREDENTIALS", "bogus"), ("AZURE_AUTHORITY_HOST", "ftp://x/y")]
)
async def test_identity_set_wrongly_is_a_credential_error(dps: DpsStandIn, monkeypatch, variable):
    """Settings that the identity library cannot read are the app's credential, not a bug."""
    monkeypatch.setenv("AZURE_TENANT_ID", "tenant")
    monkeypatch.setenv("AZURE_CLIENT_ID", "client")
    monkeypatch.setenv("AZURE_CLIENT_SECRET", symmetric_key())
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    monkeypatch.setenv(*variable)

    async with DpsClient(Settings.read({"DPS_ENDPOINT": dps.url})) as client:
        with pytest.raises(DpsCredentialError):
            await client.enrollments.get("dev-1")


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port where somebody listens and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


async def test_silent_identity_is_a_credential_error(
    dps: DpsStandIn, monkeypatch, silent_port: int
):
    """An identity endpoint that says nothing is not taken for a DPS that says nothing."""
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{silent_port}/token")
    monkeypatch.setenv("IDENTITY_HEADER", "header")
    named = {"DPS_ENDPOINT": dps.url, "DPS_TIMEOUT_SECONDS": "0.5"}

    async with DpsClient(Settings.read(named)) as client:
        with pytest.raises(DpsCredentialError):
            await client.enrollments.delete("dev-1")

    assert dps.requests == []
