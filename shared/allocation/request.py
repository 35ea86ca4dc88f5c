"""The request that DPS sends to a custom-allocation webhook."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from shared.errors import InvalidRequestError
from shared.json_documents import is_unicode, parse_json, pointer


@dataclass(frozen=True, kw_only=True, slots=True)
class AllocationRequest:
    """
    One allocation request.

    `enrollment` and `runtime_context` are the documents as DPS sent them, with any unknown members.
    The other attributes are what most policies need. `repr` omits both documents: they may contain
    keys. https://learn.microsoft.com/azure/iot-dps/concepts-custom-allocation
    """

    registration_id: str
    linked_hubs: tuple[str, ...]
    """Host names of the hubs that DPS accepts as an answer, in its spelling."""
    current_hub: str | None = None
    """The hub the device is assigned to; `None` at its first registration."""
    enrollment_group_id: str | None = None
    """`None` for an individual enrollment."""
    enrollment: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The individual enrollment or the enrollment group."""
    runtime_context: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The member `deviceRuntimeContext`: what DPS knows about the device itself."""
    _hub_by_name: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Indexes the hubs: many rules may look for one."""
        by_name = {hub.lower(): hub for hub in reversed(self.linked_hubs)}
        object.__setattr__(self, "_hub_by_name", by_name)

    @property
    def payload(self) -> Any:
        """The payload of the device's registration request; `None` if it sent none."""
        return self.runtime_context.get("payload")

    def linked(self, hub: str | None) -> str | None:
        """Returns the linked hub of this name in DPS's spelling, else None; ignores case."""
        return self._hub_by_name.get(hub.lower()) if hub else None

    @property
    def only_hub(self) -> str | None:
        """The current hub if DPS offers no other, as under the reprovision policy "never"."""
        return self.linked(self.current_hub) if len(self.linked_hubs) == 1 else None

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """
        Parses a request body; unknown members are kept, as newer API versions add some.

        Raises `InvalidRequestError` with all faults.
        """
        document = parse_json(body)
        faults = dict(_find_faults(document))
        if b"\\u" in body and not is_unicode(document):
            faults[""] = "contains an unpaired surrogate, which cannot be encoded as UTF-8"
        if faults:
            raise InvalidRequestError(faults)
        return cls._from_document(document)

    @classmethod
    def _from_document(cls, document: Mapping[str, Any]) -> Self:
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


_MAX_HUBS = 1000  # DPS links 50: https://learn.microsoft.com/azure/iot-dps/about-iot-dps
_MAX_NAME = 1024  # an id has 128 characters in DPS, a host name 253 in DNS


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_NAME


_Check = tuple[Callable[[Any], bool], str]
"""Whether a value is valid, and the fault if it is not."""
_TEXT: _Check = (_is_text, f"must be a non-empty string of at most {_MAX_NAME} characters")
_TEXT_OR_NONE: _Check = (
    lambda value: value in (None, "") or _is_text(value),
    f"must be a string of at most {_MAX_NAME} characters",
)
_OBJECT: _Check = (lambda value: isinstance(value, dict), "must be an object")
_OBJECT_OR_NONE: _Check = (lambda value: value is None or isinstance(value, dict), _OBJECT[1])
_HUBS: _Check = (
    lambda value: isinstance(value, list) and len(value) <= _MAX_HUBS,
    f"must be a list of at most {_MAX_HUBS} hubs",
)

# Only the members that decisions use. A check that rejects `None` makes its member required.
_CHECKS: Mapping[tuple[str, ...], _Check] = {
    ("deviceRuntimeContext",): _OBJECT,
    ("deviceRuntimeContext", "registrationId"): _TEXT,
    ("deviceRuntimeContext", "currentIotHubHostName"): _TEXT_OR_NONE,
    ("linkedHubs",): _HUBS,
    ("individualEnrollment",): _OBJECT_OR_NONE,
    ("enrollmentGroup",): _OBJECT_OR_NONE,
    ("enrollmentGroup", "enrollmentGroupId"): _TEXT,
}
_ENROLLMENTS = ("individualEnrollment", "enrollmentGroup")


def _find_faults(document: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(document, dict):
        yield "", "must be an object"
        return
    for path, (is_valid, fault) in _CHECKS.items():
        parent = document.get(path[0]) if len(path) > 1 else document
        if isinstance(parent, dict) and not is_valid(parent.get(path[-1])):
            yield pointer(*path), fault if path[-1] in parent else "is required"
    hubs = document.get("linkedHubs")
    for index, hub in enumerate(hubs if isinstance(hubs, list) and _HUBS[0](hubs) else ()):
        if not _is_text(hub):
            yield pointer("linkedHubs", index), _TEXT[1]
    if sum(document.get(name) is not None for name in _ENROLLMENTS) != 1:
        yield "", f"must have exactly one of {', '.join(_ENROLLMENTS)}"
