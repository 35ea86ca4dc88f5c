"""Service Bus queue triggers: what hands the messages of queues to the functions of an app."""

from local.host.queues.errors import NotFedError
from local.host.queues.feeding import DRAIN_WITHIN, Feeding
from local.host.queues.triggers import QueueTrigger

__all__ = ["DRAIN_WITHIN", "Feeding", "NotFedError", "QueueTrigger"]
