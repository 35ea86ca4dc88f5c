"""A local Azure Functions host: serves over HTTP what an app's `function_app.app` registered."""

from local.host.errors import AppRefusedError
from local.host.serving import Host, ServedFunction

__all__ = ["AppRefusedError", "Host", "ServedFunction"]
