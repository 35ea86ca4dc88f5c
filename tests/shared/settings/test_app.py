"""Settings: read once, every fault named, no secret shown."""

from pathlib import Path

import pytest

from shared.errors import NotConfiguredError
from shared.settings import Settings, public_routes_auth_level
from tests.secret_factory import connection_string, symmetric_key

HOST = "my-dps.azure-devices-provisioning.net"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        (HOST, f"https://{HOST}"),
        (HOST.upper(), f"https://{HOST}"),
        (f"https://{HOST}/", f"https://{HOST}"),
        ("127.0.0.1:7090", "http://127.0.0.1:7090"),
        ("localhost", "http://localhost"),
        ("https://127.0.0.1:7443", "https://127.0.0.1:7443"),
        ("http://[::1]:7090", "http://[::1]:7090"),
    ],
)
def test_host_is_reached_by_https_unless_it_is_this_machine(host, url):
    """A host without a scheme means https, on loopback http."""
    by_key = Settings.read({"DPS_CONNECTION_STRING": connection_string(host)})
    by_entra = Settings.read({"DPS_ENDPOINT": host})

    assert by_key.dps_url == url
    assert by_entra.dps_url == url


@pytest.mark.parametrize(
    "host",
    [
        f"http://{HOST}",
        f"ftp://{HOST}",
        f"{HOST}/path",
        "a@b",
        "a?b",
        "a:99999",
        "[",
        " / ",
        "a..b",
        "a\\",
        "<your-dps>",
    ],
)
def test_host_that_is_none_is_refused(host):
    """What is no host, or would be reached in the clear, is named."""
    with pytest.raises(NotConfiguredError) as raised:
        Settings.read({"DPS_ENDPOINT": host})

    assert list(raised.value.faults) == ["DPS_ENDPOINT"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("HostName=a", "lacks SharedAccessKeyName, SharedAccessKey"),
        ("nonsense", "lacks HostName, SharedAccessKeyName, SharedAccessKey"),
        ("HostName=a;SharedAccessKeyName=b;SharedAccessKey=!", "not base64"),
    ],
)
def test_connection_string_says_what_it_lacks(value, words):
    """A connection string that is none is refused with what is missing."""
    with pytest.raises(NotConfiguredError) as raised:
        Settings.read({"DPS_CONNECTION_STRING": value})

    assert words in raised.value.faults["DPS_CONNECTION_STRING"]


def test_names_of_a_connection_string_have_no_case():
    """Microsoft's SDKs read the names without regard to case, and so do we."""
    settings = Settings.read({"DPS_CONNECTION_STRING": connection_string(HOST).lower()})

    assert settings.dps_url == f"https://{HOST}"


@pytest.mark.parametrize(
    "environment",
    [{}, {"DPS_ENDPOINT": "", "DPS_CONNECTION_STRING": " "}, {"DPS_ENDPOINT": HOST, "both": ""}],
    ids=["none", "empty", "both"],
)
def test_exactly_one_way_to_dps_is_needed(environment):
    """Neither way to DPS, or both, is a fault that names the two."""
    if "both" in environment:
        environment["DPS_CONNECTION_STRING"] = connection_string(HOST)

    with pytest.raises(NotConfiguredError) as raised:
        Settings.read(environment)

    assert list(raised.value.faults) == ["DPS_CONNECTION_STRING, DPS_ENDPOINT"]


def test_every_fault_is_named_at_once():
    """Faults of several settings come in one error, each with what the setting is for."""
    with pytest.raises(NotConfiguredError) as raised:
        Settings.read({"DPS_MAX_ATTEMPTS": "0", "PUBLIC_ROUTES_AUTH_LEVEL": "nobody"})

    assert set(raised.value.faults) == {
        "DPS_CONNECTION_STRING, DPS_ENDPOINT",
        "DPS_MAX_ATTEMPTS",
        "PUBLIC_ROUTES_AUTH_LEVEL",
    }


def test_no_secret_is_shown():
    """Neither the print of the settings nor a fault in them shows the key."""
    key = symmetric_key()
    settings = Settings.read({"DPS_CONNECTION_STRING": connection_string(HOST, key=key)})

    with pytest.raises(NotConfiguredError) as raised:
        Settings.read({"DPS_CONNECTION_STRING": connection_string("http://example.com", key=key)})

    assert key not in f"{settings!r} {settings} {raised.value!r} {raised.value.faults}"


def test_api_versions_are_added_to_the_known():
    """What DPS_API_VERSIONS names is allowed beside what the client SDKs send."""
    settings = Settings.read({"DPS_ENDPOINT": HOST, "DPS_API_VERSIONS": "2026-04-01, x"})

    assert settings.api_versions == ("2018-04-01", "2019-03-31", "2021-10-01", "2026-04-01", "x")


@pytest.mark.parametrize(
    ("value", "level"),
    [("", "anonymous"), ("Anonymous", "anonymous"), ("admin", "admin"), ("function", "function")],
)
def test_auth_level_of_public_routes_is_what_the_setting_says(monkeypatch, value, level):
    """The level is read without regard to case, and open when unset."""
    monkeypatch.setenv("PUBLIC_ROUTES_AUTH_LEVEL", value)
    read = Settings.read({"DPS_ENDPOINT": HOST, "PUBLIC_ROUTES_AUTH_LEVEL": value})

    assert public_routes_auth_level() == read.public_routes_auth_level == level


def test_auth_level_nobody_understands_closes_the_routes(monkeypatch):
    """A typing error in the setting does not open a route, and does not stop the app."""
    monkeypatch.setenv("PUBLIC_ROUTES_AUTH_LEVEL", "anonymus")

    assert public_routes_auth_level() == "function"


def test_environment_is_read_in_one_file():
    """Outside shared/settings/environment.py nothing that is deployed reads the environment."""
    root = Path(__file__).parents[3]
    files = [root / "function_app.py", *root.glob("functions/*.py"), *root.glob("shared/**/*.py")]

    readers = [
        file.name
        for file in files
        if "os.environ" in file.read_text() or "getenv" in file.read_text()
    ]

    assert readers == ["environment.py"]
