"""Which apps are served and which are refused, with what reason."""

import pytest

from local.host import AppRefusedError, Host

FUNCTION = """
@app.route(route={route!r}, methods=["GET"])
async def {name}(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse()
"""


def function(name="it", route="it"):
    return FUNCTION.format(name=name, route=route)


async def faults(app_dir):
    """What keeps the app from being served."""
    with pytest.raises(AppRefusedError) as refused:
        await Host(app_dir, port=0).start()
    return "\n".join(refused.value.faults)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param(function() + function(), "it does not have a unique", id="name-twice"),
        pytest.param(
            function("it", "a") + function("It", "b"), "it: more than one", id="name-in-two-cases"
        ),
        pytest.param(function("_it"), "_it: the name is not", id="bad-name"),
        pytest.param(function("host"), "host: the name is not", id="reserved-name"),
        pytest.param(function(route="administrators"), "it: the route", id="route-admin"),
        pytest.param(function(route="Runtime/x"), "it: the route", id="route-runtime"),
        pytest.param(function(route="/it"), "twice in a row", id="leading-slash"),
        pytest.param(function(route="a//b"), "twice in a row", id="double-slash"),
        pytest.param(function(route="a/{b"), "do not pair", id="unpaired-brace"),
        pytest.param(function(route="{a}/{A}"), "twice", id="parameter-twice"),
        pytest.param(function(route="{a?}/b"), "must be the last", id="optional-in-the-middle"),
        pytest.param(function(route="{*a}/b"), "must be the last", id="catch-all-in-the-middle"),
        pytest.param(function(route="{a:even}"), "'even' is not known", id="unknown-constraint"),
        pytest.param(function(route="{a:int(1)}"), "'int' has too few or too many", id="limits"),
        pytest.param(function(route="{a:min(b)}"), "it: the route cannot be read", id="no-limit"),
        pytest.param(
            function("a", "x/{id}") + function("b", "X/{id}"),
            "b: its route is that of a",
            id="route-twice",
        ),
        pytest.param(
            "@app.route(route='it')\nasync def it(request: func.HttpRequest) -> str: ...",
            "no binding is named as its parameter 'request'",
            id="parameter-without-binding",
        ),
        pytest.param(
            "@app.route(route='it')\nasync def it() -> str: ...",
            "no parameter for its binding 'req'",
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
            "the binding 'out' (queue) is not known",
            id="further-binding",
        ),
        pytest.param("other = func.FunctionApp()", "holds 2 FunctionApps", id="two-apps"),
        pytest.param("del app", "holds 0 FunctionApps", id="no-app"),
        pytest.param("import nowhere_at_all", "No module named 'nowhere_at_all'", id="import"),
        pytest.param("def broken(:", "SyntaxError", id="syntax"),
    ],
)
async def test_app_is_refused(write_app, source, expected):
    """What Azure does not index is refused here, and the reason names the culprit."""
    assert expected in await faults(write_app(source))


async def test_import_error_names_file_and_line(write_app):
    """The reason says where the import failed."""
    app_dir = write_app("1 / 0", preamble="")

    assert f"{app_dir / 'function_app.py'}:1" in await faults(app_dir)


async def test_all_faults_are_named_at_once(write_app):
    """One start tells everything that is wrong with the functions."""
    found = await faults(write_app(function("_a", "admin/x") + function("b", "{b:odd}")))

    assert [part in found for part in ("_a: the name", "_a: the route", "b: the route")] == [
        True
    ] * 3


@pytest.mark.parametrize(
    ("host_json", "expected"),
    [
        pytest.param(None, "there is no host.json", id="none"),
        pytest.param("{", "host.json is not JSON", id="not-json"),
        pytest.param("{}", '"version": "2.0"', id="no-version"),
        pytest.param('{"version": "2.0", "extensions": []}', "extensions is not", id="not-object"),
        pytest.param(
            '{"version": "2.0", "extensions": {"http": {"routePrefix": 1}}}',
            "routePrefix is not",
            id="prefix-not-text",
        ),
    ],
)
async def test_broken_host_json_is_refused(write_app, host_json, expected):
    """Without a host.json that can be read there is no start."""
    assert expected in await faults(write_app(function(), host_json=host_json))


async def test_directory_without_app_is_refused(tmp_path):
    """A directory without function_app.py is named."""
    (tmp_path / "host.json").write_text('{"version": "2.0"}')

    assert f"there is no function_app.py in {tmp_path}" in await faults(tmp_path)


async def test_app_can_be_served_again(serve):
    """A second host in the same process serves the same app."""
    served = await serve(function())
    again = Host(served.app_dir, port=0)
    await again.start()

    names = [listed.name for listed in again.functions]
    await again.stop()

    assert names == ["it"]


async def test_blueprints_and_modules_beside_the_app_are_found(write_app):
    """The app's directory is importable, also by functions that import late."""
    app_dir = write_app(
        """
        from toy_blueprint_beside_the_app import bp
        app.register_functions(bp)
        """
    )
    (app_dir / "toy_blueprint_beside_the_app.py").write_text(
        "import azure.functions as func\n"
        "bp = func.Blueprint()\n"
        "@bp.route(route='it')\n"
        "async def it(req: func.HttpRequest) -> func.HttpResponse: ...\n"
    )
    host = Host(app_dir, port=0)
    await host.start()
    await host.stop()

    assert [listed.name for listed in host.functions] == ["it"]


async def test_two_methods_may_share_a_template(write_app):
    """One template with different methods is no conflict."""
    app_dir = write_app(function("a", "x") + function("b", "x").replace("GET", "PUT"))
    host = Host(app_dir, port=0)
    await host.start()
    await host.stop()

    assert [listed.name for listed in host.functions] == ["a", "b"]
