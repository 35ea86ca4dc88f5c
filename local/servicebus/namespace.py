"""A Service Bus namespace: its queues, and the nodes that links can be attached to."""

import re
from dataclasses import dataclass
from enum import Enum, auto

from local.servicebus.amqp.errors import AmqpError, Condition
from local.servicebus.authorization import is_valid
from local.servicebus.counts import Statistics
from local.servicebus.faults import Faults
from local.servicebus.memory import Memory
from local.servicebus.options import DEAD_LETTER_QUEUE, BrokerOptions, QueueOptions, check_name
from local.servicebus.queue import Queue
from local.servicebus.resources import Resources
from local.servicebus.timers import Timers

_SCHEME_AND_HOST = re.compile(r"^(amqps?|sb)://[^/]*/")
_CBS = "$cbs"
_MANAGEMENT = "/$management"
_DEAD_LETTERS = f"/{DEAD_LETTER_QUEUE}".lower()


class NodeKind(Enum):
    """What an address can stand for."""

    CBS = auto()  # takes tokens
    MANAGEMENT = auto()  # answers operations on a queue
    QUEUE = auto()


@dataclass(frozen=True)
class Node:
    """What a link is attached to."""

    address: str
    kind: NodeKind
    queue: Queue | None = None


class Namespace:
    """All that a broker keeps, and the rules by which it is reached."""

    def __init__(self, options: BrokerOptions) -> None:
        self.options = options
        self.timers = Timers(options.clock)
        self.statistics = Statistics()
        self.faults = Faults(self.statistics)
        self.memory = Memory(options.max_stored_bytes)
        self.queues: dict[str, Queue] = {}
        for name, queue_options in options.queues.items():
            self.add_queue(name, queue_options)

    def add_queue(self, name: str, options: QueueOptions) -> Queue:
        """Makes a queue; ValueError if there is one of that name, which is told without case."""
        check_name(name)
        if name.lower() in self.queues:
            raise ValueError(f"there is a queue {name} already")
        resources = Resources(
            timers=self.timers,
            memory=self.memory,
            statistics=self.statistics,
            max_message_bytes=self.options.max_message_bytes,
        )
        self.queues[name.lower()] = queue = Queue(name, options, resources)
        return queue

    def node(self, address: object) -> Node:
        """What `address` stands for; AmqpError if it is nothing."""
        if isinstance(address, bytes):
            address = address.decode("utf-8", "replace")
        if not isinstance(address, str):
            raise AmqpError(Condition.INVALID_FIELD, "A link to this broker needs an address.")
        path = _SCHEME_AND_HOST.sub("", address).strip("/")
        if path.lower() == _CBS:
            return Node(address, NodeKind.CBS)
        if path.lower().endswith(_MANAGEMENT):
            return Node(address, NodeKind.MANAGEMENT, self.queue(path[: -len(_MANAGEMENT)]))
        return Node(address, NodeKind.QUEUE, self.queue(path))

    def queue(self, path: str) -> Queue:
        """The queue, or dead-letter queue, of that path; AmqpError if there is none."""
        name = path.lower().removesuffix(_DEAD_LETTERS)
        queue = self.queues.get(name)
        if queue is None:
            queue = self._auto_created(path[: len(name)])
        return queue if len(name) == len(path) else queue.dead_letters

    def admits(self, token: object) -> bool:
        """Whether whoever holds `token` may connect."""
        keys = self.options.keys
        # By the clock that clients sign with, however far this one has been moved.
        return not keys or is_valid(token, keys, self.options.clock())

    def clear(self) -> None:
        """Empties all queues."""
        for queue in self.queues.values():
            queue.clear()

    def _auto_created(self, name: str) -> Queue:
        if not self.options.auto_create:
            raise AmqpError(
                Condition.NOT_FOUND, f"The messaging entity '{name}' could not be found."
            )
        if len(self.queues) >= self.options.max_queues:
            raise AmqpError(
                Condition.RESOURCE_LIMIT_EXCEEDED,
                f"There are {len(self.queues)} queues already; raise max_queues.",
            )
        try:
            return self.add_queue(name, self.options.auto_created)
        except ValueError as error:
            raise AmqpError(Condition.NOT_FOUND, str(error)) from error
