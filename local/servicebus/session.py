"""A session on a connection (AMQP 1.0, part 2, 2.5): links, transfer windows and unsettled deliveries."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from local.servicebus.amqp import frames, serial_numbers
from local.servicebus.amqp.errors import AmqpError, Condition
from local.servicebus.amqp.frames import SESSION_WINDOW
from local.servicebus.amqp.performatives import (
    RECEIVER,
    SENDER,
    Attach,
    Begin,
    Detach,
    Disposition,
    Flow,
    Transfer,
)
from local.servicebus.faults import Effect, Step
from local.servicebus.incoming_links import IncomingLink
from local.servicebus.interfaces import ConnectionPort, Link, QueueReceiver
from local.servicebus.namespace import Node, NodeKind
from local.servicebus.outgoing_links import OutgoingLink, QueueLink, ResponseLink
from local.servicebus.requests import Request
from local.servicebus.settlement import Outcome, parse_outcome

HANDLE_MAX = 1023
_MIN_SWEEP_SIZE = 1000


class Session:
    """The links on one channel of a connection."""

    def __init__(self, connection: ConnectionPort, channel: int, begin: Begin) -> None:
        self.namespace = connection.namespace
        self.channel = channel
        self.links: dict[int, Link] = {}
        self.write = connection.write
        self._connection = connection
        self._next_incoming = begin.next_outgoing_id
        self._next_outgoing = 1
        self._next_delivery_id = 0
        self._window = begin.incoming_window  # transfers that the client accepts
        self._transfers_until_flow = SESSION_WINDOW // 2
        self._unsettled: dict[int, tuple[QueueReceiver, bytes]] = {}  # by delivery id
        self._sweep_size = _MIN_SWEEP_SIZE
        self.write(frames.begin(channel, HANDLE_MAX))

    def handle(self, performative: Any, payload: bytes) -> None:
        """Handles a performative that the client sent on this channel."""
        self._HANDLERS[type(performative)](self, performative, payload)

    # For links

    @property
    def can_write(self) -> bool:
        """Whether the client accepts another transfer now."""
        return self._window > 0 and self._connection.can_write

    def write_flow(self, link: tuple[int, int, int] | None = None, *, drain: bool = False) -> None:
        """Sends a flow of the session, and of a link: its handle, delivery count and credit."""
        windows = (self._next_incoming, self._next_outgoing)
        self.write(frames.flow(self.channel, windows, link, drain=drain))

    def write_transfers(self, handle: int, message: bytes, tag: bytes, *, settled: bool) -> int:
        """Sends a message in one or more transfers, and returns the delivery id."""
        delivery_id = self._next_delivery_id
        self._next_delivery_id = serial_numbers.add(delivery_id)
        size = self._connection.max_frame_size - frames.TRANSFER_OVERHEAD
        for start in range(0, len(message), size):
            more = start + size < len(message)
            transfer = frames.transfer(handle, delivery_id, tag, settled=settled, more=more)
            self.write(frames.frame(self.channel, transfer, message[start : start + size]))
            self._next_outgoing = serial_numbers.add(self._next_outgoing)
            self._window -= 1
        return delivery_id

    def track_delivery(self, delivery_id: int, receiver: QueueReceiver, token: bytes) -> None:
        """Remembers the lock token of an unsettled delivery."""
        self._unsettled[delivery_id] = (receiver, token)
        if len(self._unsettled) > self._sweep_size:
            # Deliveries remain if their lock expired or they were settled through $management.
            self._keep_unsettled(lambda receiver, token: token in receiver.queue.locks)
            self._sweep_size = max(_MIN_SWEEP_SIZE, 2 * len(self._unsettled))

    def send_response(self, node: Node, request: Request, message: bytes) -> None:
        """Sends a response on the link named by reply-to, or else on one from the same node."""
        links = [link for link in self.links.values() if isinstance(link, ResponseLink)]
        address = request.reply_to
        by_target = (link for link in links if address and link.target_address == address)
        by_node = (link for link in links if link.node.address == node.address)
        link = next(by_target, None) or next(by_node, None)
        if link is None:
            raise AmqpError(Condition.NOT_FOUND, "There is no link for the response.")
        link.push(message)

    def refuse(self, request: Attach, error: AmqpError) -> None:
        """Refuses an attach that has not been answered."""
        self._remove(request.handle)
        self.write(frames.refused_attach(self.channel, request, error))

    def detach(self, link: Link, error: AmqpError) -> None:
        """Detaches a link with an error."""
        if self.links.get(link.handle) is link:
            self._remove(link.handle)
            self.write(frames.detach(self.channel, link.handle, error))

    # For the connection

    def send_available(self) -> None:
        """Sends the messages and responses that can be sent now."""
        for link in list(self.links.values()):
            if isinstance(link, OutgoingLink):
                link.send_available()

    def close(self) -> None:
        """Removes all links, without detach frames."""
        for handle in list(self.links):
            self._remove(handle)

    # Performatives

    def _attach(self, request: Attach, _: bytes) -> None:
        if request.handle in self.links or request.handle > HANDLE_MAX:
            text = f"The handle {request.handle} is in use or above {HANDLE_MAX}."
            raise AmqpError(Condition.HANDLE_IN_USE, text)
        try:
            link = self._create_link(request)
            self.links[request.handle] = link
            if not self._is_ignored(link.node):
                link.attach()
        except AmqpError as error:
            self.refuse(request, error)

    def _create_link(self, request: Attach) -> Link:
        terminus = request.source if request.role is RECEIVER else request.target
        fields = terminus.value if terminus is not None else None
        node = self.namespace.node(fields[0] if isinstance(fields, list) and fields else None)
        if request.role is SENDER:
            return IncomingLink(self, request, node)
        if node.kind is NodeKind.QUEUE and node.queue:
            return QueueLink(self, request, node, node.queue)
        return ResponseLink(self, request, node)

    def _is_ignored(self, node: Node) -> bool:
        if node.kind is not NodeKind.QUEUE or node.queue is None:
            return False
        return self.namespace.faults.apply(Step.ATTACH, node.queue.name) is Effect.IGNORED

    def _flow(self, flow: Flow, _: bytes) -> None:
        received = 1 if flow.next_incoming_id is None else flow.next_incoming_id
        in_flight = serial_numbers.difference(self._next_outgoing, received)
        self._window = flow.incoming_window - in_flight
        if flow.handle is None:
            self.send_available()
            return
        link = self.links.get(flow.handle)
        if isinstance(link, OutgoingLink):
            link.flow(flow)
        elif isinstance(link, IncomingLink) and flow.echo:
            link.write_flow()

    def _transfer(self, transfer: Transfer, payload: bytes) -> None:
        self._next_incoming = serial_numbers.add(self._next_incoming)
        self._transfers_until_flow -= 1
        if not self._transfers_until_flow:
            self._transfers_until_flow = SESSION_WINDOW // 2
            self.write_flow()
        link = self.links.get(transfer.handle)
        # A client may still send on a link that the broker has just detached.
        if isinstance(link, IncomingLink):
            link.transfer(transfer, payload)

    def _disposition(self, disposition: Disposition, _: bytes) -> None:
        if disposition.role is SENDER:
            return
        first = disposition.first
        last = first if disposition.last is None else disposition.last
        outcome = parse_outcome(disposition)
        if outcome is None:
            return
        delivery_ids = [first]
        if first != last:
            delivery_ids = [number for number in self._unsettled if first <= number <= last]
        for delivery_id in delivery_ids:
            self._settle(delivery_id, outcome, confirm=not disposition.settled)

    def _settle(self, delivery_id: int, outcome: Outcome, *, confirm: bool) -> None:
        if delivery_id not in self._unsettled:
            return
        receiver, token = self._unsettled[delivery_id]
        state = outcome.confirmation
        try:
            effect = self.namespace.faults.apply(Step.SETTLE, receiver.queue.name)
            if effect is Effect.IGNORED:
                return
            message = receiver.queue.locks.find(token)
            receiver.queue.settle([message], outcome.settlement, outcome.properties)
            del self._unsettled[delivery_id]
        except AmqpError as error:
            self.namespace.statistics.settlements_refused += 1
            effect, state = Effect.NORMAL, frames.rejected(error)
        if effect is Effect.NORMAL and confirm:
            self.write(frames.disposition(self.channel, SENDER, delivery_id, state))

    def _detach(self, detach: Detach, _: bytes) -> None:
        if detach.handle in self.links:
            self._remove(detach.handle)
            self.write(frames.detach(self.channel, detach.handle, closed=bool(detach.closed)))

    def _remove(self, handle: int) -> None:
        removed = self.links.pop(handle, None)
        if removed is not None:
            removed.on_detached()
        if isinstance(removed, QueueLink):
            self._keep_unsettled(lambda receiver, _: receiver is not removed)

    def _keep_unsettled(self, is_kept: Callable[[QueueReceiver, bytes], bool]) -> None:
        entries = self._unsettled.items()
        self._unsettled = {number: entry for number, entry in entries if is_kept(*entry)}

    _HANDLERS: ClassVar[Mapping[type, Callable[["Session", Any, bytes], None]]] = {
        Attach: _attach,
        Flow: _flow,
        Transfer: _transfer,
        Disposition: _disposition,
        Detach: _detach,
    }
