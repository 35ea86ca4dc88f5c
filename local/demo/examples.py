"""The example files: enrollments, groups, bulk operations, fleets and messages of a directory."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.demo.example_messages import ExampleMessage, read_messages

Document = dict[str, Any]


class ExamplesError(ValueError):
    """Example files are invalid; the text has a line for each fault."""


@dataclass(frozen=True)
class Example:
    """A file with one document; `name` is the file's name without its suffix."""

    name: str
    document: Document


@dataclass(frozen=True, kw_only=True)
class FleetDevice:
    """A device to register; `rule` is the allocation rule that must decide, if the file has one."""

    id: str
    payload: Any
    rule: str | None


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """A file of `fleets/`: an enrollment group, its allocation policy and its devices."""

    policy: str
    group_id: str
    group: Mapping[str, Any]
    devices: tuple[FleetDevice, ...]

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Fleet":
        """Parses a fleet; raises AttributeError, KeyError, TypeError or ValueError."""
        group = document["enrollmentGroup"]
        devices = tuple(_parse_device(device) for device in document["devices"])
        if not devices:
            raise ValueError("no devices")
        return cls(
            policy=_expect_text(document["policy"]),
            group_id=_expect_text(group["enrollmentGroupId"]),
            group=group,
            devices=devices,
        )


@dataclass(frozen=True, kw_only=True)
class Examples:
    """All examples of a directory; `policies` is its allocation policy file, if it has one."""

    enrollments: tuple[Example, ...]
    groups: tuple[Example, ...]
    bulk: tuple[Example, ...]
    fleets: tuple[Fleet, ...]
    messages: tuple[ExampleMessage, ...]
    policies: Path | None

    @property
    def hubs(self) -> list[str]:
        """Every IoT hub that a record names."""
        examples = (*self.enrollments, *self.groups)
        records: list[Any] = [example.document for example in examples]
        records += [record for example in self.bulk for record in example.document["enrollments"]]
        records += [fleet.group for fleet in self.fleets]
        records += [item.record for message in self.messages for item in message.items]
        return sorted({hub for record in records for hub in _hubs(record)})

    @property
    def reply_queues(self) -> list[str]:
        """Every queue that is the `reply_to` of a message."""
        queues = {message.properties.get("reply_to") for message in self.messages}
        return sorted(str(queue) for queue in queues if queue)


def load_examples(directory: Path) -> Examples:
    """Reads all example files; raises ExamplesError if one cannot be read or lacks an id."""
    faults: list[str] = []
    policies = directory / "allocation.json"
    examples = Examples(
        enrollments=tuple(_read(directory / "enrollments", "registrationId", str, faults)),
        groups=tuple(_read(directory / "enrollment-groups", "enrollmentGroupId", str, faults)),
        bulk=tuple(_read(directory / "bulk", "enrollments", list, faults)),
        fleets=tuple(_read_fleets(directory / "fleets", faults)),
        messages=tuple(read_messages(directory, faults)),
        policies=policies if policies.exists() else None,
    )
    if not examples.enrollments and not faults:
        faults = [f"{directory / 'enrollments'} must hold at least one *.json file"]
    if faults:
        raise ExamplesError("\n".join(faults))
    return examples


def _read(directory: Path, member: str, type_: type, faults: list[str]) -> Iterator[Example]:
    for path in sorted(directory.glob("*.json")):
        try:
            document = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            faults.append(f"{path} cannot be read as JSON: {error}")
            continue
        if isinstance(document, dict) and isinstance(document.get(member), type_):
            yield Example(path.stem, document)
        else:
            kind = "string" if type_ is str else "array"
            faults.append(f"{path} must be an object with the {kind} member {member}")


def _read_fleets(directory: Path, faults: list[str]) -> Iterator[Fleet]:
    for example in _read(directory, "devices", list, faults):
        try:
            yield Fleet.parse(example.document)
        except (KeyError, TypeError, ValueError, AttributeError):
            path = directory / f"{example.name}.json"
            faults.append(
                f"{path} must hold policy, enrollmentGroup with an enrollmentGroupId, "
                "and devices with registrationIds"
            )


def _parse_device(device: Mapping[str, Any]) -> FleetDevice:
    rule = device.get("rule")
    return FleetDevice(
        id=_expect_text(device["registrationId"]),
        payload=device.get("payload"),
        rule=None if rule is None else _expect_text(rule),
    )


def _expect_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("must be a string")
    return value


def _hubs(record: Any) -> list[str]:
    hubs = record.get("iotHubs") if isinstance(record, dict) else None
    return [hub for hub in hubs if isinstance(hub, str)] if isinstance(hubs, list) else []
