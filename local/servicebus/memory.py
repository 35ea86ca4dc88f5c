"""How much the broker keeps, and how much it may."""

from local.servicebus.amqp.errors import AmqpError, Condition


class Memory:
    """An account of bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0

    def take(self, size: int) -> None:
        """AmqpError, and nothing is taken, if that would be more than the limit."""
        if self.taken + size > self.limit:
            raise AmqpError(
                Condition.RESOURCE_LIMIT_EXCEEDED,
                f"The broker holds {self.taken} bytes and may hold {self.limit}: no room for "
                f"{size} more. Receive messages, or raise max_stored_bytes.",
            )
        self.taken += size

    def grow(self, size: int) -> None:
        """Takes for what is kept already: it is not refused, but the next that asks is."""
        self.taken += size

    def give(self, size: int) -> None:
        """Gives back what was taken."""
        self.taken -= size
