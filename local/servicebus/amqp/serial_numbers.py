"""Serial number arithmetic (RFC 1982) on 32 bits: AMQP's type sequence-no (part 2, 2.8.10)."""

_MODULUS = 2**32
_HALF = 2**31


def add(number: int, steps: int = 1) -> int:
    """Returns the number `steps` after `number`, wrapped at 32 bits."""
    return (number + steps) % _MODULUS


def difference(number: int, other: int) -> int:
    """Returns by how much `number` is ahead of `other`, or 0 if it is behind."""
    distance = (number - other) % _MODULUS
    return distance if distance < _HALF else 0
