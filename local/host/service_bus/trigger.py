"""Queue triggers: the queue and connection of a function, and which triggers are not supported."""

import inspect
import re
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import azure.functions as func

from local.host import environment
from local.host.app import AppFunction
from local.host.errors import TriggerSkippedError
from local.host.host_json import ServiceBusOptions
from local.host.service_bus.connection import Connection

TYPE = "serviceBusTrigger"
_PLACEHOLDER = re.compile(r"%([^%]+)%")


@dataclass(frozen=True)
class QueueTrigger:
    """The queue trigger of one function."""

    function: AppFunction
    queue: str
    connection: Connection
    auto_complete: bool
    """Whether a message is completed when the function returns."""
    is_binary: bool

    @property
    def kind(self) -> str:
        """The type of the trigger binding."""
        return TYPE

    @classmethod
    def from_function(cls, function: AppFunction, options: ServiceBusOptions) -> Self:
        """Reads the trigger of `function`; raises TriggerSkippedError if it is not supported."""
        reason = next((reason for check in _CHECKS for reason in check(function)), None)
        if reason is not None:
            raise TriggerSkippedError(reason)
        trigger = function.trigger
        return cls(
            function=function,
            queue=resolve_settings(str(trigger["queueName"])),
            connection=Connection.from_settings(
                resolve_settings(str(trigger.get("connection") or ""))
            ),
            auto_complete=trigger.get("autoCompleteMessages", options.auto_complete),
            is_binary=str(trigger.get("dataType")).lower() in {"binary", "stream"},
        )


def resolve_settings(text: str) -> str:
    """
    Returns `text` with each `%NAME%` replaced by the setting NAME.

    Raises TriggerSkippedError if a setting is missing.
    """
    values = {name: environment.section(name).get("") for name in _PLACEHOLDER.findall(text)}
    for name, value in values.items():
        if value is None:
            raise TriggerSkippedError(f"the setting {name} is not set")
    return _PLACEHOLDER.sub(lambda match: str(values[match[1]]), text)


def _check_type(function: AppFunction) -> Iterator[str]:
    if str(function.trigger["type"]).lower() != TYPE.lower():
        yield "triggers of this type are not supported"


def _check_disabled(function: AppFunction) -> Iterator[str]:
    if environment.is_disabled(function.name):
        yield "the function is disabled"


def _check_topic(function: AppFunction) -> Iterator[str]:
    if "queueName" not in function.trigger:
        yield "topics are not supported"


def _check_batches(function: AppFunction) -> Iterator[str]:
    if str(function.trigger.get("cardinality") or "one").lower() != "one":
        yield "batches (cardinality MANY) are not supported"


def _check_sessions(function: AppFunction) -> Iterator[str]:
    if function.trigger.get("isSessionsEnabled"):
        yield "sessions are not supported"


def _check_outputs(function: AppFunction) -> Iterator[str]:
    for binding in function.bindings:
        if binding is not function.trigger:
            yield f"the binding {binding['name']!r} ({binding['type']}) is not supported"


def _check_parameter(function: AppFunction) -> Iterator[str]:
    name = str(function.trigger["name"])
    annotation = typing.get_type_hints(function.call).get(name, func.ServiceBusMessage)
    if not (inspect.isclass(annotation) and issubclass(annotation, func.ServiceBusMessage)):
        yield f"the parameter {name!r} must be a func.ServiceBusMessage"


_CHECKS: Sequence[Callable[[AppFunction], Iterator[str]]] = (
    _check_type,
    _check_disabled,
    _check_topic,
    _check_batches,
    _check_sessions,
    _check_outputs,
    _check_parameter,
)
