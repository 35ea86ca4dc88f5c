"""
A local Azure Functions host: runs the functions that an app's `function_app.app` registered.

HTTP functions answer on a socket; Service Bus queue functions receive from any namespace.
"""

from local.host.errors import AppStartError
from local.host.host import Host, describe_functions
from local.host.service_bus import ListenerOptions
