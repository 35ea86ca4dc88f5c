"""The pages of the app, and requests that match no route."""

import httpx
import pytest

PAGES = {
    "/": "text/html; charset=utf-8",
    "/docs": "text/html; charset=utf-8",
    "/docs/index.js": "text/javascript; charset=utf-8",
    "/docs/docs.js": "text/javascript; charset=utf-8",
    "/docs/page.css": "text/css; charset=utf-8",
    "/docs/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "/docs/swagger-ui.css": "text/css; charset=utf-8",
}


@pytest.mark.parametrize("path", PAGES)
def test_pages_allow_only_their_own_scripts(app: httpx.Client, path: str) -> None:
    """With the right content type and a strict Content-Security-Policy."""
    response = app.get(path)

    assert (response.status_code, response.headers["content-type"]) == (200, PAGES[path])
    policy = response.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "connect-src 'self'"} < set(policy)


def test_docs_with_a_slash_leads_to_the_page(app: httpx.Client) -> None:
    """Its links are relative: below `/docs/` they would lead nowhere."""
    response = app.get("/docs/?code=a%26b")

    assert (response.status_code, response.headers["location"]) == (307, "../docs?code=a%26b")


@pytest.mark.parametrize("name", ["index.html.bak", "..%2Fopenapi.json", "__init__.py"])
def test_other_files_are_not_served(app: httpx.Client, name: str) -> None:
    """Only the files of the pages, whatever the path says."""
    assert app.get(f"/docs/{name}").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/enrollments", "POST"),
        ("POST", "/Enrollments/dev-1/", "DELETE, GET, PATCH, PUT"),
        ("PUT", "/health/ready", "GET, HEAD"),
    ],
)
def test_wrong_method_is_405(app: httpx.Client, method: str, path: str, allowed: str) -> None:
    """In DPS's shape, with the methods that the path has."""
    response = app.request(method, path)

    assert (response.status_code, response.json()["errorCode"]) == (405, 405001)
    assert response.headers["allow"] == allowed
    assert response.headers["x-ms-error-code"] == "405001"


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("/enrolments/dev-1", "GET /enrollments/{id}"),
        ("/enrollmentgroup/g/attestationmechanism", "POST /enrollmentGroups/{id}/attestationm"),
        ("/registration/dev-1", "GET /registrations/{id}"),
        ("/health/readyness", "GET /health/ready"),
    ],
)
def test_unknown_path_names_the_nearest_route(app: httpx.Client, path: str, nearest: str) -> None:
    """404 in DPS's shape."""
    response = app.get(path)

    assert (response.status_code, response.json()["errorCode"]) == (404, 404003)
    assert f"The nearest is {nearest}" in response.json()["message"]


def test_path_unlike_any_route_has_no_nearest(app: httpx.Client) -> None:
    """A guess would mislead."""
    assert app.get("/wp-login.php").json()["message"] == "The app has no such route."
