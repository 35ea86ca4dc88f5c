"""Links on which clients send: messages to queues, requests to $cbs and $management."""

from collections.abc import Callable, Mapping
from typing import ClassVar

from local.servicebus import cbs, management, requests
from local.servicebus.amqp import decode, encode, frames, serial_numbers
from local.servicebus.amqp.errors import AmqpError, Condition, DecodeError
from local.servicebus.amqp.performatives import RECEIVER, Attach, Transfer
from local.servicebus.faults import Effect, Step
from local.servicebus.interfaces import SessionPort
from local.servicebus.message import Message
from local.servicebus.namespace import Node, NodeKind
from local.servicebus.requests import Request, Response, StatusNames

_BATCH_FORMAT = 0x80013700  # message-format of a batch: each data section holds a message
_DATA = 0x75
_CREDIT = 1000  # granted on attach, and again when half of it is used
_MAX_BATCH_BYTES = 1024 * 1024  # the service's limit, whatever the limit for a message is


class _Delivery:
    """The transfers of a delivery so far; only the first must have all fields."""

    def __init__(self, transfer: Transfer) -> None:
        self.first = transfer
        self.parts: list[bytes] = []
        self.size = 0
        self.error: AmqpError | None = None


class IncomingLink:
    """A link to a queue, to $cbs or to a queue's $management."""

    def __init__(self, session: SessionPort, request: Attach, node: Node) -> None:
        self.node = node
        self.handle = request.handle
        self._session = session
        self._request = request
        self._namespace = session.namespace
        self._accept = self._ACCEPT[node.kind]
        self._delivery: _Delivery | None = None
        self._delivery_count = request.initial_delivery_count or 0
        self._credit = 0

    def attach(self) -> None:
        """Accepts the client's attach and grants credit."""
        limit = self._namespace.options.max_message_bytes
        batch_limit = encode.ulong(min(limit, _MAX_BATCH_BYTES))
        name = encode.symbol("com.microsoft:max-message-batch-size")
        self._session.write(
            frames.attach(
                self._session.channel,
                self._request,
                max_message_size=limit,
                properties=encode.map_((name, batch_limit)),
            )
        )
        self._grant_credit()

    def write_flow(self) -> None:
        """Sends the client the current credit."""
        self._session.write_flow((self.handle, self._delivery_count, max(self._credit, 0)))

    def transfer(self, transfer: Transfer, payload: bytes) -> None:
        """Handles a transfer; the last of a delivery completes it."""
        delivery = self._delivery or _Delivery(transfer)
        if transfer.more and not transfer.aborted:
            self._delivery = delivery
            self._store_part(delivery, payload)
            return
        self._discard_delivery()
        self._delivery_count = serial_numbers.add(self._delivery_count)
        self._credit -= 1
        if not transfer.aborted:
            whole = b"".join((*delivery.parts, payload)) if delivery.parts else payload
            self._handle(delivery, whole)
        if self._credit <= _CREDIT // 2:
            self._grant_credit()

    def on_detached(self) -> None:
        """Discards an incomplete delivery."""
        self._discard_delivery()

    def _grant_credit(self) -> None:
        self._credit = _CREDIT
        self.write_flow()

    def _store_part(self, delivery: _Delivery, payload: bytes) -> None:
        limit = self._namespace.options.max_message_bytes
        if delivery.error:
            return
        if delivery.size + len(payload) > limit:
            text = f"The delivery exceeds the limit ({limit})."
            delivery.error = AmqpError(Condition.MESSAGE_SIZE_EXCEEDED, text)
            return
        try:
            self._namespace.memory.reserve(len(payload))
        except AmqpError as error:
            delivery.error = error
            return
        delivery.size += len(payload)
        delivery.parts.append(payload)

    def _discard_delivery(self) -> None:
        if self._delivery:
            self._namespace.memory.release(self._delivery.size)
        self._delivery = None

    def _handle(self, delivery: _Delivery, payload: bytes) -> None:
        try:
            is_confirmed = self._accept(self, delivery, payload)
            state = frames.ACCEPTED
        except AmqpError as error:
            self._namespace.statistics.refused += 1
            is_confirmed, state = True, frames.rejected(error)
        delivery_id = delivery.first.delivery_id
        if is_confirmed and delivery_id is not None and not delivery.first.settled:
            channel = self._session.channel
            self._session.write(frames.disposition(channel, RECEIVER, delivery_id, state))

    # Each of these returns whether to confirm the delivery.

    def _accept_messages(self, delivery: _Delivery, payload: bytes) -> bool:
        queue = self.node.queue
        if delivery.error or queue is None:
            raise delivery.error or AmqpError(Condition.NOT_ALLOWED, "The node is not a queue.")
        effect = self._namespace.faults.apply(Step.SEND, queue.name)
        if effect is Effect.IGNORED:
            return False
        is_batch = delivery.first.message_format == _BATCH_FORMAT
        messages = _split_batch(payload) if is_batch else [payload]
        queue.put([Message(message) for message in messages])
        return effect is Effect.NORMAL

    def _accept_token(self, delivery: _Delivery, payload: bytes) -> bool:
        request = _parse_request(delivery, payload)
        return self._respond(request, Step.TOKEN, requests.CBS, self._put_token)

    def _accept_operation(self, delivery: _Delivery, payload: bytes) -> bool:
        request = _parse_request(delivery, payload)
        return self._respond(request, Step.REQUEST, requests.MANAGEMENT, self._execute)

    def _respond(
        self,
        request: Request,
        step: Step,
        names: StatusNames,
        execute: Callable[[Request], Response],
    ) -> bool:
        queue = self.node.queue
        try:
            effect = self._namespace.faults.apply(step, queue.name if queue else None)
            if effect is Effect.IGNORED:
                return False
            response = execute(request)
        except AmqpError as error:
            effect, response = Effect.NORMAL, requests.error_response(error)
        if effect is Effect.NORMAL:
            message = requests.encode_response(request, response, names)
            self._session.send_response(self.node, request, message)
        return effect is Effect.NORMAL

    def _put_token(self, request: Request) -> Response:
        response = cbs.put_token(self._namespace.options, request)
        if response is cbs.ACCEPTED and not self._namespace.options.auto_create:
            # Azure answers 404 to the token for a missing queue (Azure/azure-service-bus#304), after
            # the check of the token (azure-sdk-for-net#44734).
            self._namespace.node(request.name)
        return response

    def _execute(self, request: Request) -> Response:
        if self.node.queue is None:
            raise AmqpError(Condition.NOT_ALLOWED, "The node has no operations.")
        return management.execute(self.node.queue, request)

    _ACCEPT: ClassVar[Mapping[NodeKind, Callable[["IncomingLink", _Delivery, bytes], bool]]] = {
        NodeKind.QUEUE: _accept_messages,
        NodeKind.CBS: _accept_token,
        NodeKind.MANAGEMENT: _accept_operation,
    }


def _parse_request(delivery: _Delivery, payload: bytes) -> Request:
    if delivery.error:
        raise delivery.error
    return requests.parse_request(payload)


def _split_batch(batch: bytes) -> list[bytes]:
    starts = (at for code, _, at, _ in decode.sections(batch) if code == _DATA)
    messages = [decode.value(batch, at)[0] for at in starts]
    if not all(isinstance(message, bytes) for message in messages):
        raise DecodeError("a data section must hold binary data")
    return messages
