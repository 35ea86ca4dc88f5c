"""A local Azure Functions host: serves what an app's `function_app.app` registered.

HTTP functions answer on a socket; Service Bus queue functions get the messages of any namespace.
"""

from local.host.errors import AppRefusedError
from local.host.serving import FedFunction, Host, IdleFunction, ServedFunction

__all__ = ["AppRefusedError", "FedFunction", "Host", "IdleFunction", "ServedFunction"]
