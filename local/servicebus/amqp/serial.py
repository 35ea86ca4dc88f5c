"""Numbers that wrap after 32 bits: of deliveries, transfers and link states (part 2, 2.8.10)."""

_END = 2**32
_HALF = 2**31


def following(number: int, steps: int = 1) -> int:
    """The number `steps` further on."""
    return (number + steps) % _END


def lead(number: int, other: int) -> int:
    """How far `number` is ahead of `other`, 0 if it is behind; half the circle is the limit."""
    distance = (number - other) % _END
    return distance if distance < _HALF else 0
