"""The context of one invocation, as a function's `context` parameter receives it.

https://learn.microsoft.com/python/api/azure-functions/azure.functions.context
"""

import re
import secrets
import threading
import uuid
from typing import Any

import azure.functions as func
from typing_extensions import override

# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})")
# One for all invocations, as in Azure's worker: each thread keeps its own values in it.
_thread_local_storage = threading.local()


class TraceContext:
    """The trace an invocation belongs to: the caller's if it names one, else a new one."""

    def __init__(self, traceparent: str, tracestate: str) -> None:
        given = _TRACEPARENT.fullmatch(traceparent)
        trace_id, flags = given.groups() if given else (secrets.token_hex(16), "01")
        self.trace_parent = f"00-{trace_id}-{secrets.token_hex(8)}-{flags}"
        self.trace_state = tracestate if given else ""
        self.attributes: dict[str, str] = {}
        # The worker offers both spellings; the documentation uses these.
        self.Traceparent = self.trace_parent
        self.Tracestate = self.trace_state


class RetryContext:
    """The platform retries neither HTTP functions nor messages: those are the queue's to repeat."""

    retry_count = 0
    max_retry_count = 0
    exception = None


class Context(func.Context):
    """The context of a new invocation of one function."""

    def __init__(self, function_name: str, function_directory: str, trace: TraceContext) -> None:
        self._function_name = function_name
        self._function_directory = function_directory
        self._trace = trace
        self._invocation_id = str(uuid.uuid4())

    @property
    @override
    def invocation_id(self) -> str:
        return self._invocation_id

    @property
    @override
    def function_name(self) -> str:
        return self._function_name

    @property
    @override
    def function_directory(self) -> str:
        return self._function_directory

    @property
    @override
    def thread_local_storage(self) -> Any:
        return _thread_local_storage

    @property
    @override
    def trace_context(self) -> Any:
        return self._trace

    @property
    @override
    def retry_context(self) -> Any:
        return RetryContext
