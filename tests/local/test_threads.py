"""Servers in threads of their own."""

import asyncio
import threading

import pytest

from local.threads import in_thread


class Server:
    """Notes what is done to it."""

    def __init__(self, *, start_error=None, stop_error=None):
        self.start_error = start_error
        self.stop_error = stop_error
        self.noted = []

    async def start(self):
        self.noted.append(("start", threading.current_thread().name, asyncio.get_running_loop()))
        if self.start_error:
            raise self.start_error

    async def stop(self):
        self.noted.append(("stop", threading.current_thread().name, asyncio.get_running_loop()))
        if self.stop_error:
            raise self.stop_error


def test_a_server_runs_in_one_thread_and_loop_of_its_own():
    """Start and stop happen there, in this order, and the loop is closed after."""
    with in_thread(Server()) as server:
        during = [event for event, _, _ in server.noted]

    (_, thread, loop), (event, same_thread, same_loop) = server.noted
    assert (during, event) == (["start"], "stop")
    assert thread == same_thread != threading.current_thread().name
    assert loop is same_loop
    assert loop.is_closed()


def test_an_error_of_start_is_raised_here():
    """Nothing is yielded and nothing is stopped."""
    server = Server(start_error=OSError(98, "port 7090 is taken"))

    with pytest.raises(OSError, match="port 7090"), in_thread(server):
        pytest.fail("a server that did not start was yielded")

    assert len(server.noted) == 1


def test_an_error_of_stop_is_raised_here():
    """It is not lost with the thread."""
    with (
        pytest.raises(RuntimeError, match="would not"),
        in_thread(Server(stop_error=RuntimeError("would not"))),
    ):
        pass


def test_a_server_that_does_not_stop_is_given_up():
    """After the time that it was given."""

    class Endless(Server):
        async def stop(self):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError), in_thread(Endless(), stop_within=0.01):
        pass


def test_a_server_is_stopped_when_the_body_fails():
    """And the body's error is what the caller sees."""
    server = Server()

    with pytest.raises(KeyError), in_thread(server):
        raise KeyError

    assert [event for event, _, _ in server.noted] == ["start", "stop"]
