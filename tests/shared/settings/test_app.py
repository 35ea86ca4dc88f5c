"""Settings for DPS and HTTP: names, defaults, and a fault for every invalid value."""

from pathlib import Path

import pytest

from shared.errors import NotConfiguredError
from shared.settings import Settings, public_routes_auth_level
from tests.secret_factory import connection_string, function_key, symmetric_key

HOST = "my-dps.azure-devices-provisioning.net"


def test_names_of_the_settings_are_fixed() -> None:
    """Literal, because deployments set them: renaming a field must not rename a setting."""
    assert list(Settings.fields()) == [
        "ALLOCATION_WEBHOOK_URLS",
        "DPS_CONNECTION_STRING",
        "DPS_ENDPOINT",
        "DPS_API_VERSIONS",
        "DPS_DEFAULT_API_VERSION",
        "DPS_TIMEOUT_SECONDS",
        "DPS_ATTEMPT_TIMEOUT_SECONDS",
        "DPS_MAX_ATTEMPTS",
        "DPS_OPERATIONS_PER_MINUTE",
        "DPS_PACING_START",
        "BULK_TIMEOUT_SECONDS",
        "ALLOCATION_POLICIES_FILE",
        "PUBLIC_ROUTES_AUTH_LEVEL",
        "DOCS_AUTH_LEVEL",
        "AZURE_SDK_LOG_LEVEL",
    ]


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
def test_host_uses_https_unless_it_is_loopback(host: str, url: str) -> None:
    """A host without a scheme uses https, a loopback host http."""
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
def test_invalid_host_is_a_fault(host: str) -> None:
    """A value that is no host, or that would use http over a network, is refused."""
    with pytest.raises(NotConfiguredError) as raised:
        Settings.read({"DPS_ENDPOINT": host})

    assert list(raised.value.faults) == ["DPS_ENDPOINT"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("HostName=a", "must have SharedAccessKeyName, SharedAccessKey"),
        ("nonsense", "must have HostName, SharedAccessKeyName, SharedAccessKey"),
        (
            "HostName=a;SharedAccessKeyName=b;SharedAccessKey=!",
            "must have a key in base64",
        ),
    ],
)
def test_fault_of_a_connection_string_says_what_is_missing(value: str, message: str) -> None:
    """The fault names the missing parts."""
    with pytest.raises(NotConfiguredError) as raised:
        Settings.read({"DPS_CONNECTION_STRING": value})

    assert message in raised.value.faults["DPS_CONNECTION_STRING"]


def test_names_in_a_connection_string_are_case_insensitive() -> None:
    """Microsoft's SDKs ignore the case of the names too."""
    settings = Settings.read({"DPS_CONNECTION_STRING": connection_string(HOST).lower()})

    assert settings.dps_url == f"https://{HOST}"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"DPS_ENDPOINT": "", "DPS_CONNECTION_STRING": " "},
        {"DPS_ENDPOINT": HOST, "DPS_CONNECTION_STRING": connection_string(HOST)},
    ],
    ids=["none", "empty", "both"],
)
def test_exactly_one_dps_connection_is_required(environment: dict[str, str]) -> None:
    """Neither connection string nor endpoint, or both, is a fault that names the two."""
    with pytest.raises(NotConfiguredError) as raised:
        Settings.read(environment)

    assert list(raised.value.faults) == ["DPS_CONNECTION_STRING, DPS_ENDPOINT"]


def test_webhook_urls_are_read_as_a_list() -> None:
    """Separated by commas; their keys are secrets."""
    urls = [f"https://a.example/x?code={function_key()}", "http://127.0.0.1:7071/y?code=1&z=2"]
    settings = Settings.read({"DPS_ENDPOINT": HOST, "ALLOCATION_WEBHOOK_URLS": " , ".join(urls)})

    assert [url.get_secret_value() for url in settings.allocation_webhook_urls] == urls
    assert urls[0] not in f"{settings!r}"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("https://a.example/x", "number 1"),
        ("https://a.example/x?code=1,a.example/x?code=1", "number 2"),
        ("https://a.example/x?****", "number 1"),
        ("https://a.example/x?%2A%2A%2A%2A", "number 1"),
        ("https://u:p@a.example/x?code=1", "number 1"),
        ("https://a.example/x?code=1#y", "number 1"),
        ("https://a.example/x?code=1,HTTPS://A.example/x?code=2", "equal up to the query"),
    ],
)
def test_invalid_webhook_url_is_a_fault(value: str, message: str) -> None:
    """A URL that is not complete, or of which another one has the address, is named by its number."""
    with pytest.raises(NotConfiguredError) as raised:
        Settings.read({"DPS_ENDPOINT": HOST, "ALLOCATION_WEBHOOK_URLS": value})

    assert message in raised.value.faults["ALLOCATION_WEBHOOK_URLS"]


def test_all_faults_are_reported_together() -> None:
    """One error has the faults of all settings."""
    with pytest.raises(NotConfiguredError) as raised:
        Settings.read({"DPS_MAX_ATTEMPTS": "0", "PUBLIC_ROUTES_AUTH_LEVEL": "invalid"})

    assert set(raised.value.faults) == {
        "DPS_CONNECTION_STRING, DPS_ENDPOINT",
        "DPS_MAX_ATTEMPTS",
        "PUBLIC_ROUTES_AUTH_LEVEL",
    }


def test_text_of_settings_and_faults_has_no_secret() -> None:
    """Neither the settings nor a fault contain the key."""
    key = symmetric_key()
    settings = Settings.read({"DPS_CONNECTION_STRING": connection_string(HOST, key=key)})

    with pytest.raises(NotConfiguredError) as raised:
        Settings.read({"DPS_CONNECTION_STRING": connection_string("http://example.com", key=key)})

    assert key not in f"{settings!r} {settings} {raised.value!r} {raised.value.faults}"


def test_api_versions_are_added_to_the_known_ones() -> None:
    """`DPS_API_VERSIONS` extends the stable versions; the default may be any of them."""
    added = {"DPS_API_VERSIONS": "2026-11-02-preview, x", "DPS_DEFAULT_API_VERSION": "x"}
    settings = Settings.read({"DPS_ENDPOINT": HOST, **added})

    known = ("2018-04-01", "2019-03-31", "2021-10-01", "2026-04-01", "2026-11-01")
    assert settings.api_versions == (*known, "2026-11-02-preview", "x")
    assert settings.dps_default_api_version == "x"


@pytest.mark.parametrize("version", ["2026-11-02", "latest", "2026-11-01,2026-04-01"])
def test_default_api_version_that_is_not_accepted_is_a_fault(version: str) -> None:
    """The fault says which are."""
    with pytest.raises(NotConfiguredError) as raised:
        Settings.read({"DPS_ENDPOINT": HOST, "DPS_DEFAULT_API_VERSION": version})

    fault = raised.value.faults["DPS_DEFAULT_API_VERSION"]
    assert "2021-10-01, 2026-04-01, 2026-11-01" in fault


def test_default_api_version_is_that_of_the_python_sdk() -> None:
    """Without the setting."""
    assert Settings.read({"DPS_ENDPOINT": HOST}).dps_default_api_version == "2021-10-01"


@pytest.mark.parametrize(
    ("value", "level"),
    [("", "anonymous"), ("Anonymous", "anonymous"), ("admin", "admin"), ("function", "function")],
)
def test_auth_level_of_public_routes(
    monkeypatch: pytest.MonkeyPatch, value: str, level: str
) -> None:
    """The level is case-insensitive, and anonymous by default."""
    monkeypatch.setenv("PUBLIC_ROUTES_AUTH_LEVEL", value)
    read = Settings.read({"DPS_ENDPOINT": HOST, "PUBLIC_ROUTES_AUTH_LEVEL": value})

    assert public_routes_auth_level() == read.public_routes_auth_level == level


def test_invalid_auth_level_requires_a_function_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing error neither opens a route nor stops the app."""
    monkeypatch.setenv("PUBLIC_ROUTES_AUTH_LEVEL", "anonymus")

    assert public_routes_auth_level() == "function"


def test_environment_is_read_in_one_module() -> None:
    """Of the deployed modules only `shared/settings/base.py` reads environment variables."""
    root = Path(__file__).parents[3]
    files = [
        root / "function_app.py",
        *root.glob("functions/**/*.py"),
        *root.glob("shared/**/*.py"),
    ]

    readers = [
        file.name
        for file in files
        if "os.environ" in file.read_text() or "getenv" in file.read_text()
    ]

    assert readers == ["base.py"]
