"""Services in threads."""

import asyncio
import threading

import pytest

from local.threads import in_thread


class RecordingService:
    """A service that records its calls with their thread and event loop."""

    def __init__(
        self, *, start_error: Exception | None = None, stop_error: Exception | None = None
    ) -> None:
        self.start_error = start_error
        self.stop_error = stop_error
        self.calls: list[tuple[str, str, asyncio.AbstractEventLoop]] = []

    async def start(self) -> None:
        self.calls.append(("start", threading.current_thread().name, asyncio.get_running_loop()))
        if self.start_error:
            raise self.start_error

    async def stop(self) -> None:
        self.calls.append(("stop", threading.current_thread().name, asyncio.get_running_loop()))
        if self.stop_error:
            raise self.stop_error


def test_service_has_its_own_thread_and_loop() -> None:
    """Start and stop run in one thread and on one event loop, which is closed afterwards."""
    with in_thread(RecordingService()) as service:
        during = [event for event, _, _ in service.calls]

    (_, thread, loop), (event, same_thread, same_loop) = service.calls
    assert (during, event) == (["start"], "stop")
    assert thread == same_thread != threading.current_thread().name
    assert loop is same_loop
    assert loop.is_closed()


def test_error_of_start_propagates() -> None:
    """A service whose start fails is neither yielded nor stopped."""
    service = RecordingService(start_error=OSError(98, "port 7090 is taken"))

    with pytest.raises(OSError, match="port 7090"), in_thread(service):
        pytest.fail("a service that did not start was yielded")

    assert len(service.calls) == 1


def test_error_of_stop_propagates() -> None:
    """An error of stop is raised in the caller's thread."""
    with (
        pytest.raises(RuntimeError, match="would not"),
        in_thread(RecordingService(stop_error=RuntimeError("would not"))),
    ):
        pass


def test_endless_stop_is_a_timeout() -> None:
    """If stop does not return in time, TimeoutError is raised."""

    class Endless(RecordingService):
        async def stop(self) -> None:
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError), in_thread(Endless(), stop_within=0.01):
        pass


def test_service_is_stopped_after_an_error_in_the_block() -> None:
    """An error in the with block propagates, and the service is stopped."""
    service = RecordingService()

    with pytest.raises(KeyError), in_thread(service):
        raise KeyError

    assert [event for event, _, _ in service.calls] == ["start", "stop"]
