"""Routes: which function a request invokes."""

from typing import Any

import pytest

from tests.local.host.toy_apps import Serve

FUNCTION = """
@app.function_name("{name}")
@app.route(route={route!r}, methods={methods!r})
async def {name}(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(["{name}", dict(req.route_params)]))
"""


def functions(*routes: Any) -> str:
    """Returns an app with one function per (name, route[, methods])."""
    return "".join(
        FUNCTION.format(name=name, route=route, methods=methods[0] if methods else None)
        for name, route, *methods in routes
    )


async def request(
    serve: Serve, path: str, *routes: Any, method: str = "GET", **options: Any
) -> Any:
    """Returns the invoked function and its route values, or the status of an error."""
    served = await serve(functions(*routes), **options)
    reply = await served.client.request(method, path)
    return reply.json() if reply.status_code == 200 else reply.status_code


@pytest.mark.parametrize(
    ("route", "path", "values"),
    [
        pytest.param("items/{id}", "items/7", {"id": "7"}, id="parameter"),
        pytest.param("Items/{id}", "iTEMS/A", {"id": "A"}, id="letters-without-case"),
        pytest.param("items/{id}", "items/7/", {"id": "7"}, id="trailing-slash"),
        pytest.param("items/{id?}", "items", {}, id="optional-left-out"),
        pytest.param("items/{id?}", "items/7", {"id": "7"}, id="optional-given"),
        pytest.param("files/{*path}", "files/a/b/c", {"path": "a/b/c"}, id="catch-all"),
        pytest.param("files/{*path}", "files", {}, id="catch-all-of-nothing"),
        pytest.param("f/{name}.{ext}", "f/a.b.c", {"name": "a.b", "ext": "c"}, id="two-in-one"),
        pytest.param("n/{id:int}", "n/-12", {"id": "-12"}, id="int"),
        pytest.param("n/{id:int:min(3)}", "n/3", {"id": "3"}, id="two-constraints"),
        pytest.param("n/{id:length(2,4)}", "n/abc", {"id": "abc"}, id="length"),
        pytest.param("n/{id:range(1,9)}", "n/9", {"id": "9"}, id="range"),
        pytest.param("n/{on:bool}", "n/True", {"on": "True"}, id="bool"),
        pytest.param(
            "n/{id:guid}",
            "n/0123ABCD-0123-0123-0123-0123456789ab",
            {"id": "0123ABCD-0123-0123-0123-0123456789ab"},
            id="guid",
        ),
    ],
)
async def test_template_matches(
    serve: Serve, route: str, path: str, values: dict[str, str]
) -> None:
    """A matching path invokes the function with the values of its route parameters."""
    assert await request(serve, f"/api/{path}", ("it", route)) == ["it", values]


@pytest.mark.parametrize(
    ("route", "path"),
    [
        pytest.param("items/{id}", "items", id="parameter-missing"),
        pytest.param("items/{id}", "items/", id="parameter-empty"),
        pytest.param("items/{id}", "items/7/8", id="segment-too-many"),
        pytest.param("items", "items//", id="two-slashes"),
        pytest.param("n/{id:int}", "n/x", id="not-an-int"),
        pytest.param("n/{id:int}", "n/2147483648", id="more-than-an-int"),
        pytest.param("n/{id:guid}", "n/1234", id="not-a-guid"),
        pytest.param("n/{id:maxlength(2)}", "n/abc", id="too-long"),
        pytest.param("n/{id:alpha}", "n/a1", id="not-only-letters"),
    ],
)
async def test_template_does_not_match(serve: Serve, route: str, path: str) -> None:
    """A path that does not match gives 404."""
    assert await request(serve, f"/api/{path}", ("it", route)) == 404


async def test_unknown_path_is_404_without_body(serve: Serve) -> None:
    """An unknown path gives 404 without a body."""
    served = await serve(functions(("it", "it")))

    reply = await served.client.get("/api/other")

    assert (reply.status_code, reply.content) == (404, b"")


async def test_wrong_method_is_404(serve: Serve) -> None:
    """A method of no function gives 404, not 405; HEAD does not count as GET."""
    served = await serve(functions(("it", "it", ["GET"])))

    statuses = [(await served.client.request(m, "/api/it")).status_code for m in ("PUT", "HEAD")]

    assert statuses == [404, 404]


async def test_wrong_method_tries_the_next_route(serve: Serve) -> None:
    """If the methods do not match, the next function with the template is tried."""
    routes = [("a", "it/{id}", ["GET"]), ("b", "it/{other}", ["PUT"])]

    assert await request(serve, "/api/it/1", *routes, method="PUT") == ["b", {"other": "1"}]


async def test_function_without_methods_accepts_all(serve: Serve) -> None:
    """A function without methods accepts every method."""
    assert await request(serve, "/api/it", ("it", "it"), method="PATCH") == ["it", {}]


async def test_first_function_by_name_is_invoked(serve: Serve) -> None:
    """Routes are tried in the order of the names, ignoring case; literals have no precedence."""
    routes = [("Search", "items/search"), ("get", "items/{id}")]

    assert await request(serve, "/api/items/search", *routes) == ["get", {"id": "search"}]


async def test_route_is_the_function_name_by_default(serve: Serve) -> None:
    """The default route is the function's name."""
    assert await request(serve, "/api/it", ("it", None)) == ["it", {}]


@pytest.mark.parametrize(
    ("prefix", "path"), [("", "/it"), ("v1/things", "/v1/things/it"), ("/v2/", "/v2/it")]
)
async def test_host_json_sets_the_prefix(serve: Serve, prefix: str, path: str) -> None:
    """`routePrefix` replaces the default prefix "api", and may be empty."""
    host_json = f'{{"version": "2.0", "extensions": {{"http": {{"routePrefix": "{prefix}"}}}}}}'

    assert await request(serve, path, ("it", "it"), host_json=host_json) == ["it", {}]


@pytest.mark.parametrize("name", ["AzureWebJobs.it.Disabled", "AzureWebJobs_It_Disabled"])
async def test_disabled_function_is_404(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A function that a setting disables gives 404."""
    monkeypatch.setenv(name, "true")

    assert await request(serve, "/api/it", ("it", "it")) == 404


async def test_false_does_not_disable_a_function(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disabling setting with the value false has no effect."""
    monkeypatch.setenv("AzureWebJobs.it.Disabled", "false")

    assert await request(serve, "/api/it", ("it", "it")) == ["it", {}]


async def test_functions_are_listed(serve: Serve) -> None:
    """The host lists each function with methods, route, authorization level and URL."""
    served = await serve(functions(("b", "b/{id}", ["GET", "PUT"]), ("a", "a")))

    listed = [(f.name, f.methods, f.route, f.auth_level) for f in served.host.functions]

    assert listed == [
        ("a", (), "api/a", "ANONYMOUS"),
        ("b", ("GET", "PUT"), "api/b/{id}", "ANONYMOUS"),
    ]
    assert served.host.functions[0].url == f"{served.host.url}/api/a"


async def test_queue_functions_are_listed_separately(serve: Serve) -> None:
    """A queue function that cannot be started is listed apart from the HTTP functions."""
    served = await serve(
        functions(("it", "it"))
        + """
@app.service_bus_queue_trigger(arg_name="message", queue_name="q", connection="ServiceBus")
async def consume(message: func.ServiceBusMessage) -> None:
    pass
"""
    )

    assert [function.name for function in served.host.functions] == ["it"]
    assert [function.name for function in served.host.skipped_functions] == ["consume"]
