"""Credentials for DPS: shared access signatures and Microsoft Entra tokens."""

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
    """Returns a credential with a published key, to compare it with Microsoft's SDK."""
    key = b64encode(bytes(range(32))).decode()
    host = "mydps.azure-devices-provisioning.net"
    variables = (
        f"HostName={host};SharedAccessKeyName=provisioningserviceowner;SharedAccessKey={key}"
    )
    return SharedAccessSignature(ConnectionString.parse(variables), clock=clock)


async def test_signature_equals_that_of_microsofts_sdk() -> None:
    """azure-iot-deviceprovisioning 1.0.0b1 returns it for the same key, host, policy and expiry."""
    clock = Clock(1_700_000_000 - SharedAccessSignature.LIFETIME)

    header = await signature(clock).authorization()

    assert header == (
        "SharedAccessSignature sr=mydps.azure-devices-provisioning.net"
        "&sig=%2B5V0HFPIoMYrcltM2Jj4oxVByh5pkp677OYUHTEHW70%3D"
        "&se=1700000000&skn=provisioningserviceowner"
    )


async def test_signature_is_cached_until_shortly_before_it_expires() -> None:
    """A signature is valid for an hour, and renewed five minutes before it expires."""
    clock = Clock(1_000_000)
    credential = signature(clock)
    first = await credential.authorization()

    clock.now += 3299
    cached = await credential.authorization()
    clock.now += 2
    renewed = await credential.authorization()

    assert cached == first
    assert int(parse_qs(renewed)["se"][0]) == int(clock.now + 3600)


def test_text_of_a_credential_has_no_secret() -> None:
    """Neither the credential nor the connection string shows the key."""
    key = symmetric_key()
    parsed = ConnectionString.parse(connection_string("host", key=key))

    assert key not in f"{SharedAccessSignature(parsed)!r} {parsed!r} {parsed}"


@pytest.fixture
def identity(dps: DpsStandIn, monkeypatch: pytest.MonkeyPatch) -> DpsStandIn:
    """The stand-in as the identity endpoint that App Service provides."""
    for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{dps.url}/_identity/token")
    monkeypatch.setenv("IDENTITY_HEADER", dps.options.identity_header)
    return dps


async def test_managed_identity_is_accepted(identity: DpsStandIn) -> None:
    """With `DPS_ENDPOINT` alone the app uses a real `DefaultAzureCredential`."""
    async with DpsClient(Settings.read({"DPS_ENDPOINT": identity.url})) as client:
        page = await client.enrollments.query({"query": "SELECT *"}).page()

    assert page.records == []


async def test_missing_identity_is_a_credential_error(
    dps: DpsStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If no token can be acquired, nothing is sent."""
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")

    async with DpsClient(Settings.read({"DPS_ENDPOINT": dps.url})) as client:
        with pytest.raises(DpsCredentialError):
            await client.enrollments.get("dev-1")

    assert dps.requests == []


@pytest.mark.parametrize(
    "variable", [("AZURE_TOKEN_CREDENTIALS", "bogus"), ("AZURE_AUTHORITY_HOST", "ftp://x/y")]
)
async def test_invalid_identity_settings_are_a_credential_error(
    dps: DpsStandIn, monkeypatch: pytest.MonkeyPatch, variable: tuple[str, str]
) -> None:
    """Settings that azure-identity refuses are reported like a missing identity, not as a bug."""
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
    """A port of a server that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


async def test_identity_endpoint_without_a_response_is_a_credential_error(
    dps: DpsStandIn, monkeypatch: pytest.MonkeyPatch, silent_port: int
) -> None:
    """A timeout of the identity endpoint is not reported as a timeout of DPS."""
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{silent_port}/token")
    monkeypatch.setenv("IDENTITY_HEADER", "header")
    variables = {"DPS_ENDPOINT": dps.url, "DPS_TIMEOUT_SECONDS": "0.5"}

    async with DpsClient(Settings.read(variables)) as client:
        with pytest.raises(DpsCredentialError):
            await client.enrollments.delete("dev-1")

    assert dps.requests == []
