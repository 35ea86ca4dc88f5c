"""Invocations: context, trace, threads, timeout and stop."""

import asyncio

import httpx

from tests.local.host.toy_apps import RunningApp, Serve

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

CONTEXT = """
@app.route(route="it")
async def it(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    return func.HttpResponse(json.dumps({
        "name": context.function_name,
        "directory": context.function_directory,
        "id": context.invocation_id,
        "parent": context.trace_context.trace_parent,
        "documented": context.trace_context.Traceparent,
        "state": context.trace_context.trace_state,
        "retries": [context.retry_context.retry_count, context.retry_context.max_retry_count],
    }))
"""


async def test_context_describes_the_invocation(serve: Serve) -> None:
    """The context has the function's name and directory, and no retries."""
    served = await serve(CONTEXT)

    context = (await served.client.get("/api/it")).json()

    assert (context["name"], context["directory"]) == ("it", str(served.app_dir))
    assert context["retries"] == [0, 0]


async def test_each_invocation_has_its_own_id(serve: Serve) -> None:
    """Two invocations have different ids."""
    served = await serve(CONTEXT)

    ids = {(await served.client.get("/api/it")).json()["id"] for _ in range(2)}

    assert len(ids) == 2


async def test_trace_of_the_caller_is_continued(serve: Serve) -> None:
    """The invocation has the caller's trace id and flags, and a new span id."""
    served = await serve(CONTEXT)

    headers = {"traceparent": TRACE, "tracestate": "a=b"}
    context = (await served.client.get("/api/it", headers=headers)).json()

    version, trace_id, span, flags = context["parent"].split("-")
    assert [version, trace_id, flags] == ["00", "0af7651916cd43dd8448eb211c80319c", "01"]
    assert span != "b7ad6b7169203331"
    assert (context["documented"], context["state"]) == (context["parent"], "a=b")


async def test_invalid_trace_is_replaced(serve: Serve) -> None:
    """An invalid traceparent is replaced by a new trace."""
    served = await serve(CONTEXT)

    context = (await served.client.get("/api/it", headers={"traceparent": "rubbish"})).json()

    assert [len(part) for part in context["parent"].split("-")] == [2, 32, 16, 2]


async def test_blocking_functions_run_concurrently(serve: Serve) -> None:
    """Functions that are not coroutines run in threads, at the same time."""
    served = await serve(
        """
        both = threading.Barrier(2, timeout=10)

        @app.route(route="it")
        def it(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
            both.wait()
            same = context.thread_local_storage.invocation_id == context.invocation_id
            return func.HttpResponse(str(same))
        """
    )

    replies = await asyncio.gather(*(served.client.get("/api/it") for _ in range(2)))

    assert [reply.text for reply in replies] == ["True", "True"]


async def test_context_variables_do_not_leak(serve: Serve) -> None:
    """A context variable set in one invocation is not set in the next on that connection."""
    served = await serve(
        """
        seen = contextvars.ContextVar("seen", default="nothing")

        @app.route(route="it")
        async def it(req: func.HttpRequest) -> func.HttpResponse:
            before = seen.get()
            seen.set("something")
            return func.HttpResponse(before)
        """
    )

    replies = [await served.client.get("/api/it") for _ in range(2)]

    assert [reply.text for reply in replies] == ["nothing", "nothing"]


async def test_timeout_is_504(serve: Serve) -> None:
    """A function that does not return within the response timeout gives 504."""
    served = await serve(
        """
        @app.route(route="it")
        async def it(req: func.HttpRequest) -> func.HttpResponse:
            await asyncio.Event().wait()
        """,
        response_timeout=0.01,
    )

    reply = await served.client.get("/api/it")

    assert (reply.status_code, reply.content) == (504, b"")


WAITING = """
begun = [asyncio.Event(), threading.Event()]
ended = []

@app.route(route="waiting")
async def waiting(req: func.HttpRequest) -> func.HttpResponse:
    begun[0].set()
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("waiting")

@app.route(route="blocking")
def blocking(req: func.HttpRequest) -> func.HttpResponse:
    begun[1].set()
    threading.Event().wait(30)

@app.route(route="begun")
async def wait_for_both(req: func.HttpRequest) -> func.HttpResponse:
    await begun[0].wait()
    await asyncio.to_thread(begun[1].wait, 10)
    return func.HttpResponse()

@app.route(route="ended")
async def what_ended(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(ended))
"""


async def test_stop_does_not_wait_for_endless_functions(serve: Serve) -> None:
    """Neither a coroutine nor a thread that waits forever keeps the host from stopping."""
    served = await serve(WAITING)
    calls = [asyncio.create_task(served.client.get(f"/api/{n}")) for n in ("waiting", "blocking")]
    await served.client.get("/api/begun")

    await asyncio.wait_for(served.host.stop(), 10)

    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(outcome, httpx.Response) for outcome in outcomes] == [False, False]
    await served.host.start()
    async with httpx.AsyncClient(base_url=served.host.url) as client:
        assert (await client.get("/api/ended")).json() == ["waiting"]


async def test_stop_can_be_repeated(echo: RunningApp) -> None:
    """Stopping a stopped host does nothing."""
    await echo.host.stop()

    await echo.host.stop()
