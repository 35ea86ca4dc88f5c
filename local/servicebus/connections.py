"""The connections of a broker, and what can be done to all of them."""

import asyncio
import contextlib
from collections.abc import Iterator

from local.servicebus.amqp.errors import AmqpError, Condition
from local.servicebus.connection import Connection
from local.servicebus.namespace import Namespace, NodeKind
from local.servicebus.session import Link, Session


class Connections:
    """Those that are open; as many as the namespace admits."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._open: set[Connection] = set()
        self._is_silent = False
        self._is_deserted = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    def make(self) -> Connection:
        """One that has not been made yet, for asyncio."""
        return Connection(self._namespace, self)

    def joined(self, connection: Connection) -> AmqpError | None:
        """Takes note of one that has been made; what it is told instead of being served."""
        self._open.add(connection)
        connection.silence(self._is_silent)
        statistics = self._namespace.statistics
        limit = self._namespace.options.max_connections
        statistics.connections_opened += 1
        if len(self._open) <= limit:
            return None
        statistics.connections_refused += 1
        text = f"There are {limit} connections already; close some, or raise max_connections."
        return AmqpError(Condition.RESOURCE_LIMIT_EXCEEDED, text)

    def left(self, connection: Connection) -> None:
        """Takes note of one that has ended."""
        self._open.discard(connection)
        self._is_deserted.set()

    async def wait_deserted(self, within: float) -> bool:
        """Whether all have ended within so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self._open:
                    self._is_deserted.clear()
                    await self._is_deserted.wait()
        return not self._open

    def detach_all(self, error: AmqpError) -> None:
        """Ends every link to a queue."""
        for session, link in list(self._queue_links()):
            session.detach(link, error)

    def close_all(self, error: AmqpError) -> None:
        """Ends every connection with an error."""
        for connection in list(self._open):
            connection.close(error)

    def drop_all(self) -> None:
        """Ends every connection without a word."""
        for connection in list(self._open):
            connection.transport.abort()

    def silence(self, silent: bool) -> None:
        """Has all, and those still to come, read and write nothing, or ends that."""
        self._is_silent = silent
        for connection in list(self._open):
            connection.silence(silent)

    def _queue_links(self) -> Iterator[tuple[Session, Link]]:
        for connection in self._open:
            for session in connection.sessions.values():
                for link in session.links.values():
                    if link.node.kind is NodeKind.QUEUE:
                        yield session, link
