"""A Service Bus namespace: its queues, and the nodes that links attach to."""

import re
from dataclasses import dataclass
from enum import Enum, auto

from local.servicebus.amqp.errors import AmqpError, Condition
from local.servicebus.faults import Faults
from local.servicebus.options import (
    DEAD_LETTER_QUEUE,
    BrokerOptions,
    QueueOptions,
    check_queue_name,
)
from local.servicebus.queue import Queue
from local.servicebus.resources import MemoryQuota, Resources, Statistics
from local.servicebus.timers import Timers

_SCHEME_AND_HOST = re.compile(r"^(amqps?|sb)://[^/]*/")
_CBS = "$cbs"
_MANAGEMENT = "/$management"
_DEAD_LETTER_SUFFIX = f"/{DEAD_LETTER_QUEUE}".lower()


class NodeKind(Enum):
    """Kinds of nodes."""

    CBS = auto()  # validates tokens
    MANAGEMENT = auto()  # executes operations on a queue
    QUEUE = auto()


@dataclass(frozen=True)
class Node:
    """An AMQP node: the source or target that a link attaches to."""

    address: str
    kind: NodeKind
    queue: Queue | None = None


class Namespace:
    """The state of a broker, apart from connections."""

    def __init__(self, options: BrokerOptions) -> None:
        self.options = options
        self.timers = Timers(options.clock)
        self.statistics = Statistics()
        self.faults = Faults(self.statistics)
        self.memory = MemoryQuota(options.max_stored_bytes)
        self.queues: dict[str, Queue] = {}  # by name in lower case
        for name, queue_options in options.queues.items():
            self.add_queue(name, queue_options)

    def add_queue(self, name: str, options: QueueOptions) -> Queue:
        """Creates a queue; raises ValueError if the name is in use, regardless of case."""
        check_queue_name(name)
        if name.lower() in self.queues:
            raise ValueError(f"a queue {name!r} exists already")
        resources = Resources(
            timers=self.timers,
            memory=self.memory,
            statistics=self.statistics,
            max_message_bytes=self.options.max_message_bytes,
        )
        self.queues[name.lower()] = queue = Queue(name, options, resources)
        return queue

    def node(self, address: object) -> Node:
        """Returns the node with that address; raises AmqpError if there is none."""
        if isinstance(address, bytes):
            address = address.decode("utf-8", "replace")
        if not isinstance(address, str):
            raise AmqpError(Condition.INVALID_FIELD, "A source or target must have an address.")
        path = _SCHEME_AND_HOST.sub("", address).strip("/")
        if path.lower() == _CBS:
            return Node(address, NodeKind.CBS)
        if path.lower().endswith(_MANAGEMENT):
            return Node(address, NodeKind.MANAGEMENT, self.queue(path[: -len(_MANAGEMENT)]))
        return Node(address, NodeKind.QUEUE, self.queue(path))

    def queue(self, path: str) -> Queue:
        """Returns the queue or dead-letter queue at that path; raises AmqpError if none exists."""
        name = path.lower().removesuffix(_DEAD_LETTER_SUFFIX)
        queue = self.queues.get(name)
        if queue is None:
            queue = self._auto_create(path[: len(name)])
        return queue if len(name) == len(path) else queue.dead_letters

    def clear(self) -> None:
        """Empties all queues."""
        for queue in self.queues.values():
            queue.clear()

    def _auto_create(self, name: str) -> Queue:
        if not self.options.auto_create:
            raise AmqpError(
                Condition.NOT_FOUND, f"The messaging entity '{name}' could not be found."
            )
        if len(self.queues) >= self.options.max_queues:
            raise AmqpError(
                Condition.RESOURCE_LIMIT_EXCEEDED,
                f"The broker has {len(self.queues)} queues, the limit; raise max_queues.",
            )
        try:
            return self.add_queue(name, self.options.auto_created)
        except ValueError as error:
            raise AmqpError(Condition.NOT_FOUND, str(error)) from error
