"""How much the broker keeps, and how much it may."""

from local.servicebus.amqp.errors import AmqpError, Condition


class Memory:
    """An account of bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0

    def take(self, size: int) -> None:
        """AmqpError, and nothing is taken, if that would be more than the limit."""
        self.check(size)
        self.taken += size

    def check(self, size: int = 1) -> None:
        """AmqpError if so much cannot be taken."""
        if self.taken + size > self.limit:
            raise AmqpError(
                Condition.RESOURCE_LIMIT_EXCEEDED,
                f"The broker holds {self.taken} bytes and may hold {self.limit}: no room for "
                f"{size} more. Receive messages, or raise max_stored_bytes.",
            )

    def grow(self, size: int) -> None:
        """Takes what cannot be refused, beyond the limit if need be."""
        self.taken += size

    def give(self, size: int) -> None:
        """Gives back what was taken."""
        self.taken -= size
