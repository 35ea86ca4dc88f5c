"""
Protocols through which links use their session, and a session its connection.

They let imports point one way: a connection creates sessions, a session creates links.
"""

from typing import Protocol

from local.servicebus.amqp.errors import AmqpError
from local.servicebus.amqp.performatives import Attach
from local.servicebus.namespace import Namespace, Node
from local.servicebus.queue import Queue
from local.servicebus.requests import Request


class ConnectionPort(Protocol):
    """A connection, as its sessions see it."""

    @property
    def namespace(self) -> Namespace: ...

    @property
    def max_frame_size(self) -> int: ...

    @property
    def can_write(self) -> bool: ...

    def write(self, data: bytes) -> None: ...


class Link(Protocol):
    """A link, as its session sees it."""

    node: Node
    handle: int

    def attach(self) -> None:
        """Accepts the client's attach; raises AmqpError if that is not possible."""

    def on_detached(self) -> None:
        """Cleans up after the link was detached or its connection was lost."""


class QueueReceiver(Protocol):
    """A link on which a client receives messages from a queue."""

    queue: Queue


class SessionPort(Protocol):
    """A session, as its links see it; `Session` documents the methods."""

    channel: int

    @property
    def namespace(self) -> Namespace: ...

    @property
    def can_write(self) -> bool: ...

    def write(self, data: bytes) -> None: ...

    def write_flow(self, link: tuple[int, int, int], *, drain: bool = False) -> None: ...

    def write_transfers(self, handle: int, message: bytes, tag: bytes, *, settled: bool) -> int: ...

    def track_delivery(self, delivery_id: int, receiver: QueueReceiver, token: bytes) -> None: ...

    def send_response(self, node: Node, request: Request, message: bytes) -> None: ...

    def refuse(self, request: Attach, error: AmqpError) -> None: ...

    def detach(self, link: Link, error: AmqpError) -> None: ...
