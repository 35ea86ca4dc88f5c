"""The documents of a directory such as `examples/`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.demo import deliveries
from local.demo.deliveries import Delivery
from local.demo.fleets import Fleet

Document = dict[str, Any]


class ExamplesError(ValueError):
    """Files that cannot be used at all; names every one of them."""


@dataclass(frozen=True)
class Example:
    """One file: `name` is its name without the ending."""

    name: str
    document: Document


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Records to create one by one, bulk operations and messages to send as they are, devices.

    `policies` is the file of rules by which the webhook places them; None: there is none.
    """

    enrollments: tuple[Example, ...]
    groups: tuple[Example, ...]
    bulk: tuple[Example, ...]
    fleets: tuple[Fleet, ...]
    messages: tuple[Delivery, ...]
    policies: Path | None

    @property
    def hubs(self) -> list[str]:
        """Every hub that a record names, once."""
        examples = (*self.enrollments, *self.groups)
        records: list[Any] = [example.document for example in examples]
        records += [record for example in self.bulk for record in example.document["enrollments"]]
        records += [fleet.group for fleet in self.fleets]
        records += [asked.record for message in self.messages for asked in message.asked]
        return sorted({hub for record in records for hub in _hubs(record)})

    @property
    def reply_queues(self) -> list[str]:
        """Every queue that a message names in its `reply_to`, once."""
        named = {message.properties.get("reply_to") for message in self.messages}
        return sorted(str(name) for name in named if name)


def load(directory: Path) -> Examples:
    """Reads what is there; a wrong document is for DPS to refuse, a file without an id is not."""
    faults: list[str] = []
    policies = directory / "allocation.json"
    examples = Examples(
        enrollments=tuple(_read(directory / "enrollments", "registrationId", str, faults)),
        groups=tuple(_read(directory / "enrollment-groups", "enrollmentGroupId", str, faults)),
        bulk=tuple(_read(directory / "bulk", "enrollments", list, faults)),
        fleets=tuple(_fleets(directory / "fleets", faults)),
        messages=tuple(deliveries.read(directory, faults)),
        policies=policies if policies.exists() else None,
    )
    if not examples.enrollments and not faults:
        faults = [f"{directory / 'enrollments'} holds no *.json"]
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
            faults.append(f"{path} must be an object with {member}")


def _fleets(directory: Path, faults: list[str]) -> Iterator[Fleet]:
    for example in _read(directory, "devices", list, faults):
        try:
            yield Fleet.read(example.document)
        except (KeyError, TypeError, ValueError, AttributeError):
            path = directory / f"{example.name}.json"
            faults.append(f"{path} must hold policy, enrollmentGroup and devices with ids")


def _hubs(record: Any) -> list[str]:
    hubs = record.get("iotHubs") if isinstance(record, dict) else None
    return [hub for hub in hubs if isinstance(hub, str)] if isinstance(hubs, list) else []
