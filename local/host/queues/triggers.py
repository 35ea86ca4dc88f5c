"""Which functions are fed from which queue, and why others are not."""

import inspect
import re
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import azure.functions as func

from local.host import environment
from local.host.host_json import ServiceBusOptions
from local.host.loading import AppFunction
from local.host.queues.connections import Connection
from local.host.queues.errors import NotFedError

TYPE = "serviceBusTrigger"
_PLACEHOLDER = re.compile(r"%([^%]+)%")


@dataclass(frozen=True)
class QueueTrigger:
    """One function, the queue it takes messages from, and how."""

    function: AppFunction
    queue: str
    connection: Connection
    completes: bool
    """Whether a message is completed when the function returns."""
    is_binary: bool

    @property
    def kind(self) -> str:
        """The type of the trigger, as bindings name it."""
        return TYPE

    @classmethod
    def of(cls, function: AppFunction, options: ServiceBusOptions) -> Self:
        """Reads the trigger of `function`; NotFedError if this host cannot feed it."""
        reason = next((reason for check in _CHECKS for reason in check(function)), None)
        if reason is not None:
            raise NotFedError(reason)
        trigger = function.trigger
        return cls(
            function=function,
            queue=resolved(str(trigger["queueName"])),
            connection=Connection.of(resolved(str(trigger.get("connection") or ""))),
            completes=trigger.get("autoCompleteMessages", options.auto_complete),
            is_binary=str(trigger.get("dataType")).lower() in {"binary", "stream"},
        )


def resolved(text: str) -> str:
    """`text` with each `%NAME%` replaced by the setting NAME; NotFedError if there is none."""
    values = {name: environment.section(name).get("") for name in _PLACEHOLDER.findall(text)}
    for name, value in values.items():
        if value is None:
            raise NotFedError(f"%{name}% is not set")
    return _PLACEHOLDER.sub(lambda found: str(values[found[1]]), text)


def _type(function: AppFunction) -> Iterator[str]:
    if str(function.trigger["type"]).lower() != TYPE.lower():
        yield "this host has nothing that starts it"


def _disabled(function: AppFunction) -> Iterator[str]:
    if environment.is_disabled(function.name):
        yield "it is disabled"


def _topic(function: AppFunction) -> Iterator[str]:
    if "queueName" not in function.trigger:
        yield "topics are not supported"


def _batches(function: AppFunction) -> Iterator[str]:
    if str(function.trigger.get("cardinality") or "one").lower() != "one":
        yield "batches (cardinality MANY) are not supported"


def _sessions(function: AppFunction) -> Iterator[str]:
    if function.trigger.get("isSessionsEnabled"):
        yield "sessions are not supported"


def _outputs(function: AppFunction) -> Iterator[str]:
    for binding in function.bindings:
        if binding is not function.trigger:
            yield f"its binding {binding['name']!r} ({binding['type']}) is not supported"


def _parameter(function: AppFunction) -> Iterator[str]:
    name = str(function.trigger["name"])
    annotation = typing.get_type_hints(function.call).get(name, func.ServiceBusMessage)
    if not (inspect.isclass(annotation) and issubclass(annotation, func.ServiceBusMessage)):
        yield f"its parameter {name!r} is not a func.ServiceBusMessage"


_CHECKS: Sequence[Callable[[AppFunction], Iterator[str]]] = (
    _type,
    _disabled,
    _topic,
    _batches,
    _sessions,
    _outputs,
    _parameter,
)
