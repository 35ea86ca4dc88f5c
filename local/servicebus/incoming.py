"""Links on which clients send: messages to queues, requests to the other nodes."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from local.servicebus import management, requests
from local.servicebus.amqp import decode, encode, frames, serial, spans
from local.servicebus.amqp.errors import AmqpError, Condition, DecodeError
from local.servicebus.amqp.performatives import RECEIVER, Attach, Transfer
from local.servicebus.faults import Effect, Step
from local.servicebus.message import Message
from local.servicebus.namespace import Node, NodeKind
from local.servicebus.requests import Reply, ReplyNames, Request

if TYPE_CHECKING:
    from local.servicebus.session import Session

_BATCH = 0x80013700  # a message format: one whole message in each data section
_DATA = 0x75
_CREDIT = 1000  # granted at once, and again when half of it is spent
_BATCH_LIMIT = 1024 * 1024  # of the service, whatever one message may have


class _Delivery:
    """What has come of a delivery so far; its later transfers may omit what the first says."""

    def __init__(self, transfer: Transfer) -> None:
        self.first = transfer
        self.parts: list[bytes] = []
        self.size = 0
        self.error: AmqpError | None = None


class IncomingLink:
    """A link to a queue, $cbs or a queue's $management."""

    def __init__(self, session: "Session", request: Attach, node: Node) -> None:
        self.node = node
        self.handle = request.handle
        self._session = session
        self._request = request
        self._namespace = session.namespace
        self._accept = self._ACCEPTING[node.kind]
        self._delivery: _Delivery | None = None
        self._delivery_count = request.initial_delivery_count or 0
        self._credit = 0

    def attach(self) -> None:
        """Answers the client's attach and lets it send."""
        limit = self._namespace.options.max_message_bytes
        batch_limit = encode.ulong(min(limit, _BATCH_LIMIT))
        name = encode.symbol("com.microsoft:max-message-batch-size")
        self._session.write(
            frames.attach(
                self._session.channel,
                self._request,
                max_message_size=limit,
                properties=encode.map_((name, batch_limit)),
            )
        )
        self._grant()

    def tell_flow(self) -> None:
        """Repeats what the client may send."""
        self._session.write_flow((self.handle, self._delivery_count, max(self._credit, 0)))

    def transfer(self, transfer: Transfer, payload: bytes) -> None:
        """Takes the next part of a delivery, and answers the delivery after its last."""
        delivery = self._delivery or _Delivery(transfer)
        if transfer.more and not transfer.aborted:
            self._delivery = delivery
            self._keep(delivery, payload)
            return
        self._forget_delivery()
        self._delivery_count = serial.following(self._delivery_count)
        self._credit -= 1
        if not transfer.aborted:
            whole = b"".join((*delivery.parts, payload)) if delivery.parts else payload
            self._answer(delivery, whole)
        if self._credit <= _CREDIT // 2:
            self._grant()

    def closed(self) -> None:
        """The link is gone, and with it what had come of a delivery."""
        self._forget_delivery()

    def _grant(self) -> None:
        self._credit = _CREDIT
        self.tell_flow()

    def _keep(self, delivery: _Delivery, payload: bytes) -> None:
        limit = self._namespace.options.max_message_bytes
        if delivery.error:
            return
        if delivery.size + len(payload) > limit:
            text = f"The delivery exceeds the limit ({limit})."
            delivery.error = AmqpError(Condition.MESSAGE_SIZE_EXCEEDED, text)
            return
        try:
            self._namespace.memory.take(len(payload))
        except AmqpError as error:
            delivery.error = error
            return
        delivery.size += len(payload)
        delivery.parts.append(payload)

    def _forget_delivery(self) -> None:
        if self._delivery:
            self._namespace.memory.give(self._delivery.size)
        self._delivery = None

    def _answer(self, delivery: _Delivery, payload: bytes) -> None:
        try:
            is_answered = self._accept(self, delivery, payload)
            state = frames.ACCEPTED
        except AmqpError as error:
            self._namespace.statistics.refused += 1
            is_answered, state = True, frames.rejected(error)
        number = delivery.first.delivery_id
        if is_answered and number is not None and not delivery.first.settled:
            channel = self._session.channel
            self._session.write(frames.disposition(channel, RECEIVER, number, state))

    # Each of these says whether the delivery is to be answered.

    def _accept_messages(self, delivery: _Delivery, payload: bytes) -> bool:
        queue = self.node.queue
        if delivery.error or queue is None:
            raise delivery.error or AmqpError(Condition.NOT_ALLOWED, "No messages are taken here.")
        effect = self._namespace.faults.strike(Step.SEND, queue.name)
        if effect is Effect.IGNORED:
            return False
        is_batch = delivery.first.message_format == _BATCH
        messages = _unpacked(payload) if is_batch else [payload]
        queue.put([Message(message) for message in messages])
        return effect is Effect.NORMAL

    def _accept_token(self, delivery: _Delivery, payload: bytes) -> bool:
        request = _request(delivery, payload)
        return self._reply(request, Step.TOKEN, requests.CBS, self._check_token)

    def _accept_operation(self, delivery: _Delivery, payload: bytes) -> bool:
        request = _request(delivery, payload)
        return self._reply(request, Step.REQUEST, requests.MANAGEMENT, self._operate)

    def _reply(
        self,
        request: Request,
        step: Step,
        names: ReplyNames,
        answer: Callable[[Request], Reply],
    ) -> bool:
        queue = self.node.queue
        try:
            effect = self._namespace.faults.strike(step, queue.name if queue else None)
            if effect is Effect.IGNORED:
                return False
            reply = answer(request)
        except AmqpError as error:
            effect, reply = Effect.NORMAL, requests.refused(error)
        if effect is Effect.NORMAL:
            self._session.reply(self.node, request, requests.encoded(request, reply, names))
        return effect is Effect.NORMAL

    def _check_token(self, request: Request) -> Reply:
        if self._namespace.admits(request.body):
            return Reply(202, "Accepted")
        return Reply(401, "InvalidSignature: The token has an invalid signature.")

    def _operate(self, request: Request) -> Reply:
        if self.node.queue is None:
            raise AmqpError(Condition.NOT_ALLOWED, "No operations are done here.")
        return management.answer(self.node.queue, request)

    _ACCEPTING: ClassVar[Mapping[NodeKind, Callable[["IncomingLink", _Delivery, bytes], bool]]] = {
        NodeKind.QUEUE: _accept_messages,
        NodeKind.CBS: _accept_token,
        NodeKind.MANAGEMENT: _accept_operation,
    }


def _request(delivery: _Delivery, payload: bytes) -> Request:
    if delivery.error:
        raise delivery.error
    return requests.read(payload)


def _unpacked(batch: bytes) -> list[bytes]:
    data = (at for code, _, at, _ in spans.sections(batch) if code == _DATA)
    messages = [decode.value(batch, at)[0] for at in data]
    if not all(isinstance(message, bytes) for message in messages):
        raise DecodeError("a data section without binary data")
    return messages
