"""Messages that can never succeed: ten kinds, and those that are too large to be kept with a reason."""

import random
from collections.abc import Callable

from azure.servicebus import ServiceBusMessage, ServiceBusMessageBatch

from tests.ledger.asked import SINGLE, SUCCEEDED, Item, Step, to_json

_GOOD = {"registrationId": "never", "attestation": {"type": "symmetricKey"}}
_DEEP = 150
# What the envelope of a batch of one adds to its message, as the SDK counts.
_OVERHEAD = 8


def _refused_by_dps(n: int) -> bytes:
    hubs = {"iotHubs": ["nobody.azure-devices.net"]}
    record = {**_GOOD, **hubs, "registrationId": f"poison-{n}"}
    return to_json({"operation": "create", "enrollment": record})


def _missing(n: int) -> bytes:
    return to_json({"operation": "delete", "registrationId": f"poison-{n}"})


Kind = tuple[Callable[[int], bytes], tuple[str, ...], str]

# By name: the body, the reasons, and the content type.
_JSON, _EVENTS = "application/json", "application/cloudevents-batch+json"
KINDS: dict[str, Kind] = {
    "empty": (lambda _: b"", ("InvalidRequest",), _JSON),
    "truncated": (lambda _: b'{"operation": "create", "enrol', ("InvalidRequest",), _JSON),
    "no text": (lambda n: b"\xff\xfe\x00" + bytes([n % 256]), ("InvalidRequest",), _JSON),
    "member twice": (
        lambda n: b'{"operation": "delete", "registrationId": "a", "registrationId": "b%d"}' % n,
        ("InvalidRequest",),
        _JSON,
    ),
    "list": (lambda n: to_json([n]), ("InvalidRequest",), _JSON),
    "unknown operation": (
        lambda n: to_json({"operation": f"frobnicate-{n}", "enrollment": _GOOD}),
        ("InvalidRequest",),
        _JSON,
    ),
    "too deep": (lambda _: b"[" * _DEEP + b"]" * _DEEP, ("InvalidRequest",), _JSON),
    "batch of events": (lambda _: b"[]", ("UnsupportedMediaType",), _EVENTS),
    "refused by DPS": (_refused_by_dps, ("DpsBadRequest",), _JSON),
    # Whoever comes to it again takes it that it was there the first time.
    "delete of nothing": (_missing, ("DpsNotFound", SUCCEEDED), _JSON),
}


def poison(n: int, id: str) -> Step:
    """The `n`th of them."""
    name = list(KINDS)[n % len(KINDS)]
    body, endings, content_type = KINDS[name]
    return Step(
        id=id,
        what=f"poison: {name}",
        queue=SINGLE,
        body=body(n),
        items=(Item(key=None, endings=endings),),
        content_type=content_type,
        properties={"ledger": id},
    )


def too_large(id: str, *, limit: int, rng: random.Random) -> Step:
    """A message that just fits into the queue: with a reason it would not."""
    room = rng.randrange(40)
    return Step(
        id=id,
        what="too large to be kept with a reason",
        queue=SINGLE,
        body=b"x" * (limit - room - _size_around_body(id)),
        items=(),
        is_dead=True,
    )


def _size_around_body(id: str) -> int:
    body = b"x" * 1000  # long enough for its length to take four bytes
    batch = ServiceBusMessageBatch(max_size_in_bytes=2**30)
    envelope = batch.size_in_bytes
    batch.add_message(ServiceBusMessage(body, message_id=id, content_type=_JSON))
    return batch.size_in_bytes - envelope - _OVERHEAD - len(body)
