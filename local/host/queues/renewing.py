"""Locks that are kept while functions run."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from local.host.queues.settling import Settling
from local.host.queues.tasks import cancelled, keep

if TYPE_CHECKING:  # costly: only an app with a Service Bus trigger pays for it
    from azure.servicebus import ServiceBusReceivedMessage

# Of what is left of a lock, so that a renewal which fails can be repeated.
_RENEW_AFTER = 0.5
_RENEW_AGAIN_AFTER = 1.0
_FOR_EVER = timedelta(days=365)

logger = logging.getLogger("local.host.queues")


class Renewing:
    """Renews the locks of the messages of one queue, each for `longest` at most."""

    def __init__(self, settling: Settling, *, longest: timedelta) -> None:
        self._settling = settling
        self._longest = longest
        self._under_way: set[asyncio.Task[None]] = set()

    @contextlib.contextmanager
    def kept_locked(self, message: "ServiceBusReceivedMessage") -> Iterator[None]:
        """Keeps the lock of `message` until the end of the block."""
        last = datetime.now(UTC) + min(self._longest, _FOR_EVER)
        renewal = _Renewal(message, self._begin, last=last)
        renewal.expect()
        try:
            yield
        finally:
            renewal.end()

    async def stop(self) -> None:
        """Cancels the renewals that are under way."""
        await cancelled(self._under_way)

    def _begin(self, renewal: "_Renewal") -> None:
        keep(self._under_way, self._renew(renewal))

    async def _renew(self, renewal: "_Renewal") -> None:
        try:
            await self._settling.renew(renewal.message)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the lock runs on
            if not renewal.has_ended:
                number, name = renewal.message.sequence_number, type(exc).__name__
                logger.warning("the lock of message %s could not be renewed: %s", number, name)
            renewal.expect(soonest=_RENEW_AGAIN_AFTER)
        else:
            renewal.expect()


class _Renewal:
    """One message, and the timer of its next renewal: most messages are settled before that."""

    def __init__(
        self,
        message: "ServiceBusReceivedMessage",
        begin: Callable[["_Renewal"], None],
        *,
        last: datetime,
    ) -> None:
        self.message = message
        self.has_ended = False
        self._begin = begin
        self._last = last
        self._timer: asyncio.TimerHandle | None = None

    def expect(self, *, soonest: float = 0.0) -> None:
        """Sets the timer, unless the lock is not to be kept any longer, or is lost."""
        locked_until, now = self.message.locked_until_utc, datetime.now(UTC)
        if self.has_ended or not locked_until or not now < locked_until < self._last:
            return
        left = (locked_until - now).total_seconds()
        delay = max(left * _RENEW_AFTER, soonest)
        self._timer = asyncio.get_running_loop().call_later(delay, self._begin, self)

    def end(self) -> None:
        """No renewal is begun any more; one that is under way goes on."""
        self.has_ended = True
        if self._timer is not None:
            self._timer.cancel()
