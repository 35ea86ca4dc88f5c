"""Toy apps as files, and as the modules that a host in this process makes of them."""

import sys

PREAMBLE = """
import asyncio, contextvars, json, threading
import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
"""

HOST_JSON = '{"version": "2.0"}'


def write(directory, source, *, host_json=HOST_JSON):
    """Writes a function_app.py, and a host.json unless that is None."""
    (directory / "function_app.py").write_text(source)
    if host_json is not None:
        (directory / "host.json").write_text(host_json)


def module_in(directory):
    """The module that was loaded from there."""
    path = str(directory / "function_app.py")
    return next(m for m in list(sys.modules.values()) if getattr(m, "__file__", "") == path)
