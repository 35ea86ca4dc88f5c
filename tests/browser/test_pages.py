"""The pages in a real browser: Debian's Chromium, which `make test-all` installs."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import element_to_be_clickable
from selenium.webdriver.support.wait import WebDriverWait

from local.dps import Options
from local.stack import Stack
from local.threads import in_thread
from tests.secret_factory import function_key

pytestmark = pytest.mark.long

KEY = function_key()
ARGUMENTS = (
    "--headless",
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
)
Find = Callable[[str], WebElement]


@pytest.fixture(scope="module")
def url(environment: pytest.MonkeyPatch) -> Iterator[str]:  # noqa: ARG001  removes other settings
    """The app, which requires a function key."""
    with in_thread(Stack(Options(port=0, tls_port=0), functions_port=0, key=KEY)) as stack:
        yield stack.host.url


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chrome]:
    """A browser with an empty profile."""
    options = ChromeOptions()
    for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with Chrome(options=options, service=ChromeService("/usr/bin/chromedriver")) as browser:
        yield browser


@pytest.fixture
def find(browser: Chrome) -> Find:
    """Waits until an element can be used, and returns it."""
    wait = WebDriverWait(browser, 20)
    return lambda selector: wait.until(element_to_be_clickable((By.CSS_SELECTOR, selector)))


def wait_for_text(browser: Chrome, selector: str, text: str) -> None:
    WebDriverWait(browser, 20).until(
        lambda _: text in browser.find_element(By.CSS_SELECTOR, selector).text
    )


def test_start_page_shows_readiness_and_routes(browser: Chrome, find: Find, url: str) -> None:
    """On one screen, without an error in the console; readiness needs the key."""
    browser.get(f"{url}/")
    wait_for_text(browser, "#routes", "PUT /enrollments/{id}")
    find("#key").send_keys("wrong")
    find("button").click()
    wait_for_text(browser, "#status", "The function key is not valid.")
    find("#key").clear()
    find("#key").send_keys(KEY)
    find("button").click()
    wait_for_text(browser, "#status", "ready")

    height = browser.execute_script("return document.documentElement.scrollHeight")
    assert height <= 900
    # The refused key is an entry of its own.
    messages = [entry["message"] for entry in browser.get_log("browser")]
    assert [message for message in messages if "401" not in message] == []


def test_api_page_sends_a_request(browser: Chrome, find: Find, url: str) -> None:
    """Authorise with the key, try a route, see the app's answer."""
    browser.get(f"{url}/docs")
    find(".authorize").click()
    find("section input").send_keys(KEY)
    find(".modal-btn.authorize").click()
    find(".btn-done").click()
    find("#operations-Individual_enrollments-enrollments_get").click()
    find(".try-out__btn").click()
    find("input[placeholder=id]").send_keys("dev-1")
    find(".execute").click()

    wait_for_text(browser, ".live-responses-table", '"errorCode": 404201')
    requested = browser.find_element(By.CSS_SELECTOR, ".request-url").text
    assert requested.endswith(f"{url}/enrollments/dev-1")


def test_pages_load_nothing_from_elsewhere(browser: Chrome, url: str) -> None:
    """Every request of both pages goes to the app."""
    for path in ("/", "/docs"):
        browser.get(url + path)
        wait_for_text(browser, "body", "/enrollments/{id}")
        names = browser.execute_script(
            "return performance.getEntriesByType('resource').map(entry => entry.name)"
        )

        assert {name.startswith((url, "data:")) for name in names} == {True}
