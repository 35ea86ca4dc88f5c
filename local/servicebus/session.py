"""A session of a connection (part 2, 2.5): links, deliveries and windows."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from local.servicebus.amqp import frames, serial
from local.servicebus.amqp.errors import AmqpError, Condition
from local.servicebus.amqp.frames import WINDOW
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
from local.servicebus.incoming import IncomingLink
from local.servicebus.namespace import Node, NodeKind
from local.servicebus.outgoing import OutgoingLink, ReplyLink
from local.servicebus.queue_link import QueueLink
from local.servicebus.requests import Request
from local.servicebus.settlement import Outcome, outcome

if TYPE_CHECKING:
    from local.servicebus.connection import Connection

HANDLE_MAX = 1023
Link = IncomingLink | OutgoingLink
_SWEEP_AT = 1000


class Session:
    """The links on one channel of a connection."""

    def __init__(self, connection: "Connection", channel: int, begin: Begin) -> None:
        self.namespace = connection.namespace
        self.channel = channel
        self.links: dict[int, Link] = {}
        self.write = connection.write
        self._connection = connection
        self._next_incoming = begin.next_outgoing_id
        self._next_outgoing = 1
        self._next_delivery = 0
        self._window = begin.incoming_window  # transfers that the client takes
        self._until_flow = WINDOW // 2  # transfers after which the client is told to go on
        self._unsettled: dict[int, tuple[QueueLink, bytes]] = {}
        self._sweep_at = _SWEEP_AT
        self.write(frames.begin(channel, HANDLE_MAX))

    def handle(self, performative: Any, payload: bytes) -> None:
        """Does what a client says on this channel."""
        self._HANDLERS[type(performative)](self, performative, payload)

    # What links need

    @property
    def can_write(self) -> bool:
        """Whether a message can be sent now."""
        return self._window > 0 and self._connection.can_write

    def write_flow(self, link: tuple[int, int, int] | None = None, *, drain: bool = False) -> None:
        """Tells how far the session is, and a link's handle, delivery count and credit."""
        windows = (self._next_incoming, self._next_outgoing)
        self.write(frames.flow(self.channel, windows, link, drain=drain))

    def write_transfers(self, handle: int, message: bytes, tag: bytes, *, settled: bool) -> int:
        """Sends a message in as many frames as it needs; the number of the delivery."""
        number = self._next_delivery
        self._next_delivery = serial.following(number)
        size = self._connection.max_frame_size - frames.OVERHEAD
        for start in range(0, len(message), size):
            more = start + size < len(message)
            transfer = frames.transfer(handle, number, tag, settled=settled, more=more)
            self.write(frames.frame(self.channel, transfer, message[start : start + size]))
            self._next_outgoing = serial.following(self._next_outgoing)
            self._window -= 1
        return number

    def await_settlement(self, number: int, link: QueueLink, token: bytes) -> None:
        """Remembers which message was sent as delivery `number`."""
        self._unsettled[number] = (link, token)
        if len(self._unsettled) > self._sweep_at:
            # Locks that expired or were settled through $management leave their deliveries here.
            self._keep_unsettled(lambda link, token: token in link.queue.locks)
            self._sweep_at = max(_SWEEP_AT, 2 * len(self._unsettled))

    def reply(self, node: Node, request: Request, message: bytes) -> None:
        """Sends a reply to whom `request` names, or else to a link from the same node."""
        links = [link for link in self.links.values() if isinstance(link, ReplyLink)]
        named = (link for link in links if request.reply_to and link.target == request.reply_to)
        same_node = (link for link in links if link.node.address == node.address)
        link = next(named, None) or next(same_node, None)
        if link is None:
            raise AmqpError(Condition.NOT_FOUND, "There is no link for the reply.")
        link.push(message)

    def refuse(self, request: Attach, error: AmqpError) -> None:
        """Refuses a link that has not been answered yet."""
        self._forget(request.handle)
        self.write(frames.refusal(self.channel, request, error))

    def detach(self, link: Link, error: AmqpError) -> None:
        """Ends a link; the client is told why."""
        if self.links.get(link.handle) is link:
            self._forget(link.handle)
            self.write(frames.detach(self.channel, link.handle, error))

    # What the connection needs

    def supply(self) -> None:
        """Sends what can be sent now."""
        for link in list(self.links.values()):
            if isinstance(link, OutgoingLink):
                link.supply()

    def close(self) -> None:
        """Ends all links; nobody is told."""
        for handle in list(self.links):
            self._forget(handle)

    # What clients do

    def _attach(self, request: Attach, _: bytes) -> None:
        if request.handle in self.links or request.handle > HANDLE_MAX:
            raise AmqpError(Condition.HANDLE_IN_USE, f"The handle {request.handle} is not free.")
        try:
            link = self._link(request)
            self.links[request.handle] = link
            if not self._is_ignored(link.node):
                link.attach()
        except AmqpError as error:
            self.refuse(request, error)

    def _link(self, request: Attach) -> Link:
        terminus = request.source if request.role is RECEIVER else request.target
        fields = terminus.value if terminus is not None else None
        node = self.namespace.node(fields[0] if isinstance(fields, list) and fields else None)
        if request.role is SENDER:
            return IncomingLink(self, request, node)
        if node.kind is NodeKind.QUEUE and node.queue:
            return QueueLink(self, request, node, node.queue)
        return ReplyLink(self, request, node)

    def _is_ignored(self, node: Node) -> bool:
        if node.kind is not NodeKind.QUEUE or node.queue is None:
            return False
        return self.namespace.faults.strike(Step.ATTACH, node.queue.name) is Effect.IGNORED

    def _flow(self, flow: Flow, _: bytes) -> None:
        told = 1 if flow.next_incoming_id is None else flow.next_incoming_id
        self._window = flow.incoming_window - serial.lead(self._next_outgoing, told)
        if flow.handle is None:
            self.supply()
            return
        link = self.links.get(flow.handle)
        if isinstance(link, OutgoingLink):
            link.flow(flow)
        elif link and flow.echo:
            link.tell_flow()

    def _transfer(self, transfer: Transfer, payload: bytes) -> None:
        self._next_incoming = serial.following(self._next_incoming)
        self._until_flow -= 1
        if not self._until_flow:
            self._until_flow = WINDOW // 2
            self.write_flow()
        link = self.links.get(transfer.handle)
        # A link that the broker has just ended is not known here, but still to the client.
        if isinstance(link, IncomingLink):
            link.transfer(transfer, payload)

    def _disposition(self, disposition: Disposition, _: bytes) -> None:
        if disposition.role is SENDER:
            return
        first = disposition.first
        last = first if disposition.last is None else disposition.last
        wanted = outcome(disposition)
        if wanted is None:
            return
        numbers = [first]
        if first != last:
            numbers = [number for number in self._unsettled if first <= number <= last]
        for number in numbers:
            self._settle(number, wanted, is_told=not disposition.settled)

    def _settle(self, number: int, wanted: Outcome, *, is_told: bool) -> None:
        if number not in self._unsettled:
            return
        link, token = self._unsettled[number]
        confirmation = wanted.confirmation
        try:
            effect = self.namespace.faults.strike(Step.SETTLE, link.queue.name)
            if effect is Effect.IGNORED:
                return
            message = link.queue.locks.find(token)
            link.queue.settle([message], wanted.settlement, wanted.properties)
            del self._unsettled[number]
        except AmqpError as error:
            self.namespace.statistics.settlements_refused += 1
            effect, confirmation = Effect.NORMAL, frames.rejected(error)
        if effect is Effect.NORMAL and is_told:
            self.write(frames.disposition(self.channel, SENDER, number, confirmation))

    def _detach(self, detach: Detach, _: bytes) -> None:
        if detach.handle in self.links:
            self._forget(detach.handle)
            self.write(frames.detach(self.channel, detach.handle, closed=bool(detach.closed)))

    def _forget(self, handle: int) -> None:
        gone = self.links.pop(handle, None)
        if gone is not None:
            gone.closed()
        if isinstance(gone, QueueLink):
            self._keep_unsettled(lambda link, _: link is not gone)

    def _keep_unsettled(self, is_kept: Callable[[QueueLink, bytes], bool]) -> None:
        entries = self._unsettled.items()
        self._unsettled = {number: entry for number, entry in entries if is_kept(*entry)}

    _HANDLERS: ClassVar[Mapping[type, Callable[["Session", Any, bytes], None]]] = {
        Attach: _attach,
        Flow: _flow,
        Transfer: _transfer,
        Disposition: _disposition,
        Detach: _detach,
    }
