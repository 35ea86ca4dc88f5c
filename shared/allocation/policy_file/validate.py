"""Finds all faults of a policy file in one run, each with its line."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from pydantic import ValidationError

from shared.allocation.engine import OTHER_HUBS
from shared.allocation.policy_file.compile import UnusablePolicyError, load_python_policy
from shared.allocation.policy_file.models import MEMBERS, OTHERWISE, TAGS, PolicyFile
from shared.errors import InvalidRequestError
from shared.json_documents import fault_message, parse_json, pointer

MAX_BYTES = 10 * 1024 * 1024
"""Maximum size of a file; a list of 100,000 serial numbers fits."""

Fault = tuple[str, str]
"""A JSON Pointer (RFC 6901), and what is wrong there."""
_Path = tuple[object, ...]


class Diagnostic(NamedTuple):
    """A fault or a warning. `line` counts from 1; it is 0 if unknown."""

    pointer: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}" if self.line else self.message


def validate(body: bytes) -> tuple[Diagnostic, ...]:
    """Returns all faults of a file, in the order of its lines."""
    try:
        document = parse_json(body, max_bytes=MAX_BYTES)
    except InvalidRequestError as error:
        if "" in error.faults:  # not JSON: the message itself has the line
            return tuple(Diagnostic(location, 0, fault) for location, fault in error.faults.items())
        return add_lines(error.faults.items(), body)
    return add_lines(_find_faults(document), body)


def _find_faults(document: Any) -> Iterator[Fault]:
    try:
        PolicyFile.model_validate(document)
    except ValidationError as error:
        for details in error.errors(include_url=False, include_input=False):
            path = (step for step in details["loc"] if step not in TAGS and step != "[key]")
            yield pointer(*path), fault_message(details, members=MEMBERS)
    # The rest needs more than one value, or an import.
    yield from _duplicate_names(document)
    yield from _undeclared_hubs(document)
    yield from _unusable_python(document)


def _policies(document: Any) -> Iterator[tuple[_Path, Mapping[str, Any]]]:
    """Yields the path and value of each policy that is an object."""
    policies = document.get("policies") if isinstance(document, dict) else None
    for name, policy in (policies if isinstance(policies, dict) else {}).items():
        if isinstance(policy, dict):
            yield ("policies", name), policy


def _rules(document: Any) -> Iterator[tuple[_Path, Mapping[str, Any]]]:
    """Yields the path and value of each rule, and each `otherwise`, that is an object."""
    for path, policy in _policies(document):
        rules = policy.get("rules")
        for index, rule in enumerate(rules if isinstance(rules, list) else ()):
            if isinstance(rule, dict):
                yield (*path, "rules", index), rule
        if isinstance(policy.get(OTHERWISE), dict):
            yield (*path, OTHERWISE), policy[OTHERWISE]


def _duplicate_names(document: Any) -> Iterator[Fault]:
    seen: set[_Path] = set()
    for path, rule in _rules(document):
        name = rule.get("name")
        key = (*path[:2], name)
        if isinstance(name, str) and (name == OTHERWISE or key in seen):
            yield pointer(*path, "name"), "must be unique in the policy, and not be 'otherwise'"
        if isinstance(name, str):
            seen.add(key)


def find_hubs(document: Any) -> Iterator[tuple[str, str]]:
    """Yields a JSON Pointer and the hub for each hub named in a rule."""
    for path, rule in _rules(document):
        hub = rule.get("hub")
        if isinstance(hub, str):
            yield pointer(*path, "hub"), hub
        weights = hub.get("hash") if isinstance(hub, dict) else None
        for name in weights if isinstance(weights, dict) else ():
            yield pointer(*path, "hub", "hash", name), name


def _undeclared_hubs(document: Any) -> Iterator[Fault]:
    declared = document.get("hubs") if isinstance(document, dict) else None
    if not isinstance(declared, list):
        return
    known = {hub.lower() for hub in declared if isinstance(hub, str)}
    for location, hub in find_hubs(document):
        if hub != OTHER_HUBS and hub.lower() not in known:
            close = get_close_matches(hub.lower(), known, n=1)
            suggestion = f"; did you mean '{close[0]}'?" if close else ""
            yield location, f"is not one of the hubs declared in `hubs`{suggestion}"


def _unusable_python(document: Any) -> Iterator[Fault]:
    for path, policy in _policies(document):
        python = policy.get("python")
        if isinstance(python, str) and ":" in python:
            try:
                load_python_policy(python)
            except UnusablePolicyError as error:
                yield pointer(*path, "python"), str(error)


def add_lines(faults: Iterable[Fault], body: bytes) -> tuple[Diagnostic, ...]:
    """Returns the faults with their lines in a file that is JSON, in the order of the lines."""
    faults = tuple(faults)
    lines = _find_lines(body.decode("utf-8-sig")) if faults else {}
    diagnostics = (
        Diagnostic(location, _line_of(location, lines), fault) for location, fault in faults
    )
    return tuple(sorted(diagnostics, key=lambda diagnostic: diagnostic.line))


def _line_of(location: str, lines: Mapping[str, int]) -> int:
    """Returns the line of a value; of a missing member, the line of the object that lacks it."""
    while location not in lines:
        location = location.rpartition("/")[0]
    return lines[location]


_SYMBOL = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s"{}\[\],:]+|[{}\[\],:\n]')
_FIRST_STEP: Mapping[str, str | int] = {"{": "", "[": 0}


def _find_lines(text: str) -> dict[str, int]:
    """Returns the line of each value by JSON Pointer; for a member, the line of its name."""
    lines = {"": 1}
    line = 1
    path: list[str | int] = []  # of the current value; an int is a list index
    is_next = False  # whether the next symbol starts a list item, or is a member's name
    for symbol in _SYMBOL.findall(text):
        if symbol == "\n":
            line += 1
        elif symbol in "}]":
            path.pop()
            is_next = False
        elif is_next:
            if isinstance(path[-1], str):
                path[-1] = json.loads(symbol)
            lines[pointer(*path)] = line
            is_next = False
        if symbol in _FIRST_STEP:
            path.append(_FIRST_STEP[symbol])
            is_next = True
        elif symbol == ",":
            path[-1] = path[-1] + 1 if isinstance(path[-1], int) else ""
            is_next = True
    return lines
