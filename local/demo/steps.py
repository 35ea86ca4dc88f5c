"""Chapters and steps of the demo, and the errors that fail or skip a step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Client(StrEnum):
    """The client that makes the calls of a step."""

    SDK = "SDK"
    SDK_AIO = "SDK aio"
    HTTP = "HTTP"
    CLI = "CLI"
    QUEUE = "queue"
    DEVICE = "device"
    STAND_IN = "stand-in"


CLIENT_DESCRIPTIONS = {
    Client.SDK: "azure-iot-deviceprovisioning, calls the functions",
    Client.SDK_AIO: "the same with asyncio",
    Client.HTTP: "httpx, calls the functions",
    Client.CLI: "python -m cli, the command line, calls the functions",
    Client.QUEUE: "azure-servicebus, sends messages to the functions",
    Client.DEVICE: "a device, calls the device API of DPS, which calls the allocation webhook",
    Client.STAND_IN: "httpx, calls the control endpoints of the DPS stand-in",
}


@dataclass(frozen=True)
class Step:
    """
    One row of the demo: `run` makes the calls, checks the responses, and returns what it checked.

    It raises CheckFailedError if a check fails, StepSkippedError if there is nothing to check, and
    the errors of its client.
    """

    client: Client
    title: str
    run: Callable[[], str]


@dataclass(frozen=True)
class Chapter:
    """Steps under one title."""

    title: str
    steps: Sequence[Step]


class CheckFailedError(Exception):
    """A response is not as expected; the text never holds a key."""


class StepSkippedError(Exception):
    """The examples have nothing for this step; the text says what is missing."""
