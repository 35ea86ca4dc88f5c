"""What DPS asks a custom-allocation webhook: which hub a device belongs to."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from shared.documents import parse, pointer
from shared.errors import InvalidRequestError


@dataclass(frozen=True, kw_only=True, slots=True)
class AllocationRequest:
    """
    One question of DPS's.

    The two documents are as DPS sent them, unknown members and all; the members beside them are
    what most policies ask for. Neither document is printed: key material may stand in them.
    https://learn.microsoft.com/azure/iot-dps/concepts-custom-allocation
    """

    registration_id: str
    linked_hubs: tuple[str, ...]
    """The hubs DPS accepts as an answer, spelt as it spells them."""
    current_hub: str | None = None
    """Where the device was assigned before."""
    enrollment_group_id: str | None = None
    """`None` for an individual enrollment."""
    enrollment: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The record of the individual enrollment or the group."""
    runtime_context: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The member `deviceRuntimeContext`: what is known of the device itself."""

    @property
    def payload(self) -> Any:
        """What the device sent along; `None` if nothing."""
        return self.runtime_context.get("payload")

    def linked(self, hub: str | None) -> str | None:
        """The hub as DPS spells it, if it may be answered; names of hosts are read without case."""
        wanted = hub.lower() if hub else None
        return next((name for name in self.linked_hubs if name.lower() == wanted), None)

    @property
    def only_hub(self) -> str | None:
        """The current hub, where DPS allows no other: reprovisioning under the policy "never"."""
        return self.linked(self.current_hub) if len(self.linked_hubs) == 1 else None

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """
        The question in a body; members nobody knows are kept, for DPS's API grows.

        Raises `InvalidRequestError` with every fault: a policy never meets half a request.
        """
        document = parse(body)
        faults = dict(_faults(document))
        if b"\\u" in body and not _is_unicode(document):
            faults[""] = "holds half of a surrogate pair, which is no text"
        if faults:
            raise InvalidRequestError(faults)
        return cls._of(document)

    @classmethod
    def _of(cls, document: Mapping[str, Any]) -> Self:
        context = document["deviceRuntimeContext"]
        group = document.get("enrollmentGroup")
        return cls(
            registration_id=context["registrationId"],
            linked_hubs=tuple(document["linkedHubs"]),
            current_hub=context.get("currentIotHubHostName") or None,
            enrollment_group_id=group.get("enrollmentGroupId") if group is not None else None,
            enrollment=group if group is not None else document["individualEnrollment"],
            runtime_context=context,
        )


def _is_unicode(document: Any) -> bool:
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


_Form = tuple[Callable[[Any], bool], str]
_TEXT: _Form = (_is_text, "must be a string that is not empty")
_TEXT_OR_NONE: _Form = (lambda value: value is None or isinstance(value, str), "must be a string")
_OBJECT: _Form = (lambda value: isinstance(value, dict), "must be an object")
_OBJECT_OR_NONE: _Form = (lambda value: value is None or isinstance(value, dict), _OBJECT[1])
_LIST: _Form = (lambda value: isinstance(value, list), "must be a list")

# Only what a decision rests on; whether it is required stands in the form: `None` is not there.
_FORMS: Mapping[tuple[str, ...], _Form] = {
    ("deviceRuntimeContext",): _OBJECT,
    ("deviceRuntimeContext", "registrationId"): _TEXT,
    ("deviceRuntimeContext", "currentIotHubHostName"): _TEXT_OR_NONE,
    ("linkedHubs",): _LIST,
    ("individualEnrollment",): _OBJECT_OR_NONE,
    ("enrollmentGroup",): _OBJECT_OR_NONE,
    ("enrollmentGroup", "enrollmentGroupId"): _TEXT,
}
_ENROLLMENTS = ("individualEnrollment", "enrollmentGroup")


def _faults(document: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(document, dict):
        yield "", "must be an object"
        return
    for steps, (is_good, words) in _FORMS.items():
        parent = document.get(steps[0]) if len(steps) > 1 else document
        if isinstance(parent, dict) and not is_good(parent.get(steps[-1])):
            yield pointer(*steps), words if steps[-1] in parent else "is required"
    hubs = document.get("linkedHubs")
    for index, hub in enumerate(hubs if isinstance(hubs, list) else ()):
        if not _is_text(hub):
            yield pointer("linkedHubs", index), _TEXT[1]
    if sum(document.get(name) is not None for name in _ENROLLMENTS) != 1:
        yield "", f"must have exactly one of {', '.join(_ENROLLMENTS)}"
