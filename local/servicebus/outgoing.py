"""Links on which the broker sends, and those of them that bring replies."""

from collections import deque
from typing import TYPE_CHECKING, Any

from local.servicebus.amqp import encode, frames, serial
from local.servicebus.amqp.errors import AmqpError, Condition
from local.servicebus.amqp.performatives import Attach, Flow
from local.servicebus.namespace import Node

if TYPE_CHECKING:
    from local.servicebus.session import Session

_REPLIES = 1000  # that may wait for a client that gives no credit


class OutgoingLink:
    """Credit, and what a client does with it; a subclass says what there is to send."""

    def __init__(self, session: "Session", request: Attach, node: Node) -> None:
        self.node = node
        self.handle = request.handle
        self.request = request
        self._session = session
        self._credit = 0
        self._delivery_count = 0

    def attach(self) -> None:
        """Answers the client's attach."""
        self._attach()

    def flow(self, flow: Flow) -> None:
        """Takes the credit that the client gives, and sends what it allows (2.6.7)."""
        if flow.link_credit is not None:
            on_the_way = serial.lead(self._delivery_count, flow.delivery_count or 0)
            self._credit = max(flow.link_credit - on_the_way, 0)
        self.supply()
        if flow.drain:
            self._delivery_count = serial.following(self._delivery_count, self._credit)
            self._credit = 0
        if flow.drain or flow.echo:
            state = (self.handle, self._delivery_count, self._credit)
            self._session.write_flow(state, drain=bool(flow.drain))

    def supply(self) -> None:
        """Sends what can be sent."""
        raise NotImplementedError

    def closed(self) -> None:
        """The link is gone."""
        self._credit = 0

    def _attach(self, *, source: bytes | None = None, properties: bytes = encode.NULL) -> None:
        self._session.write(
            frames.attach(
                self._session.channel,
                self.request,
                max_message_size=self._session.namespace.options.max_message_bytes,
                source=source,
                properties=properties,
            )
        )

    def _send(self, message: bytes, tag: bytes, *, settled: bool) -> int:
        self._delivery_count = serial.following(self._delivery_count)
        self._credit -= 1
        return self._session.write_transfers(self.handle, message, tag, settled=settled)


class ReplyLink(OutgoingLink):
    """Brings the replies of $cbs or $management."""

    def __init__(self, session: "Session", request: Attach, node: Node) -> None:
        super().__init__(session, request, node)
        self._replies: deque[bytes] = deque()

    @property
    def target(self) -> Any:
        """The address by which requests name it."""
        target = self.request.target
        fields = target.value if target is not None else None
        return fields[0] if isinstance(fields, list) and fields else None

    def push(self, reply: bytes) -> None:
        """Sends it, now or once there is credit; AmqpError if too many wait already."""
        if len(self._replies) >= _REPLIES:
            raise AmqpError(
                Condition.RESOURCE_LIMIT_EXCEEDED, f"{_REPLIES} replies wait for credit."
            )
        self._replies.append(reply)
        self.supply()

    def supply(self) -> None:
        while self._replies and self._credit > 0:
            tag = encode.uint(self._delivery_count)
            self._send(self._replies.popleft(), tag, settled=True)
