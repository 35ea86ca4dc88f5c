"""Which apps the host loads, and the faults for which it rejects others."""

from pathlib import Path

import pytest

from local.host import AppStartError, Host
from tests.local.host.toy_apps import Serve, WriteApp

FUNCTION = """
@app.route(route={route!r}, methods=["GET"])
async def {name}(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse()
"""


def function(name: str = "it", route: str = "it") -> str:
    return FUNCTION.format(name=name, route=route)


async def faults(app_dir: Path) -> str:
    """Returns the faults that keep the app from starting."""
    with pytest.raises(AppStartError) as error:
        await Host(app_dir, port=0).start()
    return "\n".join(error.value.faults)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param(function() + function(), "it does not have a unique", id="name-twice"),
        pytest.param(
            function("it", "a") + function("It", "b"), "it: more than one", id="name-in-two-cases"
        ),
        pytest.param(function("_it"), "_it: the name must be", id="bad-name"),
        pytest.param(function("host"), "host: the name must be", id="reserved-name"),
        pytest.param(function(route="administrators"), "it: the route", id="route-admin"),
        pytest.param(function(route="Runtime/x"), "it: the route", id="route-runtime"),
        pytest.param(function(route="/it"), "twice in a row", id="leading-slash"),
        pytest.param(function(route="a//b"), "twice in a row", id="double-slash"),
        pytest.param(function(route="a/{b"), "do not match", id="unpaired-brace"),
        pytest.param(function(route="{a}/{A}"), "twice", id="parameter-twice"),
        pytest.param(function(route="{a?}/b"), "must be the last", id="optional-in-the-middle"),
        pytest.param(function(route="{*a}/b"), "must be the last", id="catch-all-in-the-middle"),
        pytest.param(
            function(route="{a:even}"),
            "'even' must be one of 'int', 'long'",
            id="unknown-constraint",
        ),
        pytest.param(
            function(route="{a:int(1)}"), "'int' has the wrong number of arguments", id="limits"
        ),
        pytest.param(function(route="{a:min(b)}"), "it: the route is not valid", id="no-limit"),
        pytest.param(
            function("a", "x/{id}") + function("b", "X/{id}"),
            "b: has the same route as a",
            id="route-twice",
        ),
        pytest.param(
            "@app.route(route='it')\nasync def it(request: func.HttpRequest) -> str: ...",
            "the parameter 'request' has no binding",
            id="parameter-without-binding",
        ),
        pytest.param(
            "@app.route(route='it')\nasync def it() -> str: ...",
            "the binding 'req' has no parameter",
            id="binding-without-parameter",
        ),
        pytest.param(
            "@app.route(route='it')\nasync def it(req: 'Missing') -> str: ...",
            "annotations cannot be evaluated",
            id="unknown-annotation",
        ),
        pytest.param(
            "@app.route(route='it')\n"
            "@app.queue_output(arg_name='out', queue_name='q', connection='c')\n"
            "async def it(req: func.HttpRequest, out: func.Out[str]) -> str: ...",
            "the binding 'out' (queue) is not supported",
            id="further-binding",
        ),
        pytest.param("other = func.FunctionApp()", "but defines 2", id="two-apps"),
        pytest.param("del app", "but defines 0", id="no-app"),
        pytest.param("import nowhere_at_all", "No module named 'nowhere_at_all'", id="import"),
        pytest.param("def broken(:", "SyntaxError", id="syntax"),
    ],
)
async def test_invalid_app_is_rejected(write_app: WriteApp, source: str, expected: str) -> None:
    """An app that Azure does not index is rejected, and the fault names the function."""
    assert expected in await faults(write_app(source))


async def test_import_error_names_file_and_line(write_app: WriteApp) -> None:
    """The fault says in which line the import failed."""
    app_dir = write_app("1 / 0", preamble="")

    assert f"{app_dir / 'function_app.py'}:1" in await faults(app_dir)


async def test_all_faults_are_reported_at_once(write_app: WriteApp) -> None:
    """One start reports every fault of every function."""
    text = await faults(write_app(function("_a", "admin/x") + function("b", "{b:odd}")))

    assert [part in text for part in ("_a: the name", "_a: the route", "b: the route")] == [
        True
    ] * 3


@pytest.mark.parametrize(
    ("host_json", "expected"),
    [
        pytest.param(None, "host.json is missing", id="none"),
        pytest.param("{", "host.json is not valid JSON", id="not-json"),
        pytest.param("{}", '"version": "2.0"', id="no-version"),
        pytest.param('{"version": "2.0", "extensions": []}', "extensions must be", id="not-object"),
        pytest.param(
            '{"version": "2.0", "extensions": {"http": {"routePrefix": 1}}}',
            "routePrefix must be",
            id="prefix-not-text",
        ),
    ],
)
async def test_invalid_host_json_is_rejected(
    write_app: WriteApp, host_json: str | None, expected: str
) -> None:
    """A missing or invalid host.json keeps the host from starting."""
    assert expected in await faults(write_app(function(), host_json=host_json))


async def test_directory_without_app_is_rejected(tmp_path: Path) -> None:
    """The fault names the directory without function_app.py."""
    (tmp_path / "host.json").write_text('{"version": "2.0"}')

    assert f"function_app.py is missing in {tmp_path}" in await faults(tmp_path)


async def test_app_can_be_loaded_again(serve: Serve) -> None:
    """A second host in the same process runs the same app."""
    served = await serve(function())
    again = Host(served.app_dir, port=0)
    await again.start()

    names = [listed.name for listed in again.functions]
    await again.stop()

    assert names == ["it"]


async def test_modules_in_the_app_directory_are_found(write_app: WriteApp) -> None:
    """The app imports blueprints from its own directory."""
    app_dir = write_app(
        """
        from toy_blueprint_of_the_app import bp
        app.register_functions(bp)
        """
    )
    (app_dir / "toy_blueprint_of_the_app.py").write_text(
        "import azure.functions as func\n"
        "bp = func.Blueprint()\n"
        "@bp.route(route='it')\n"
        "async def it(req: func.HttpRequest) -> func.HttpResponse: ...\n"
    )
    host = Host(app_dir, port=0)
    await host.start()
    await host.stop()

    assert [listed.name for listed in host.functions] == ["it"]


async def test_two_functions_may_share_a_template(write_app: WriteApp) -> None:
    """Two functions with the same template and different methods do not conflict."""
    app_dir = write_app(function("a", "x") + function("b", "x").replace("GET", "PUT"))
    host = Host(app_dir, port=0)
    await host.start()
    await host.stop()

    assert [listed.name for listed in host.functions] == ["a", "b"]
