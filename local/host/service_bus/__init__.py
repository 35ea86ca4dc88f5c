"""Service Bus queue triggers: receive messages from queues and invoke the app's functions."""

from local.host.service_bus.listener import ListenerOptions, QueueListeners
from local.host.service_bus.trigger import QueueTrigger
