"""Finds all faults of a policy file in one run, each with its line."""

import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Any, NamedTuple

from pydantic import ValidationError

from shared.allocation.engine import OTHER_HUBS
from shared.allocation.policy_file.models import (
    MEMBERS,
    NO_FACT,
    OTHERWISE,
    TAGS,
    PolicyFile,
    suggest_fact,
)
from shared.allocation.python_policy import PythonPolicy, UnusablePolicyError
from shared.errors import MAX_FAULTS, InvalidRequestError
from shared.json_documents import Limits, fault_message, parse_json, pointer

MAX_BYTES = 10 * 1024 * 1024  # a list of 100,000 serial numbers fits
LIMITS = Limits(max_bytes=MAX_BYTES, max_values=MAX_BYTES)
"""The limits of a file."""

_MAX_CANDIDATES = 100  # for a suggestion: each takes ten microseconds

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
    """Returns the faults of a file, in the order of its lines: all, or `MAX_FAULTS` of them."""
    try:
        document = parse_json(body, limits=LIMITS)
    except InvalidRequestError as error:
        if "" in error.faults:  # not JSON: the message itself has the line
            return tuple(Diagnostic(location, 0, fault) for location, fault in error.faults.items())
        return add_lines(error.faults.items(), body)
    faults = list(islice(_find_faults(document), MAX_FAULTS + 1))
    if len(faults) <= MAX_FAULTS:
        return add_lines(faults, body)
    rest = Diagnostic("", 0, "has more faults than are listed")
    return (*add_lines(faults[: MAX_FAULTS - 1], body), rest)


def _find_faults(document: Any) -> Iterator[Fault]:
    error = _validation_error(document)
    if error and error.error_count() > MAX_FAULTS:
        yield from _find_faults_in_parts(document)
    elif error:
        yield from _to_faults(error)
    # The rest needs more than one value, or an import.
    yield from _duplicate_names(document)
    yield from _undeclared_hubs(document)
    yield from _unusable_python(document)


def _validation_error(document: Any) -> ValidationError | None:
    try:
        PolicyFile.model_validate(document)
    except ValidationError as error:
        return error
    return None


def _find_faults_in_parts(document: Any) -> Iterator[Fault]:
    """Yields the faults of all but the rules, then of each rule: not all of them are needed."""
    rules = {path: policy["rules"] for path, policy in _policies(document) if _has_rules(policy)}
    if rules:
        others = {name: {**document["policies"][name], "rules": []} for _, name in rules}
        document = {**document, "policies": document["policies"] | others}
    yield from _faults_of_part(document)
    for path, of_policy in rules.items():
        for index, rule in enumerate(of_policy):
            part = {"policies": {"part": {"rules": [rule]}}}
            yield from _faults_of_part(part, (*path, "rules", index))


def _faults_of_part(document: Any, at: _Path = ()) -> Iterator[Fault]:
    error = _validation_error(document)
    if error and error.error_count() > MAX_FAULTS:
        yield pointer(*at), f"has {error.error_count()} faults"
    elif error:
        yield from _to_faults(error, at)


def _to_faults(error: ValidationError, at: _Path = ()) -> Iterator[Fault]:
    """Yields the faults of the file, or of a file with one rule, which is `at` another path."""
    for details in error.errors(include_url=False, include_input=False):
        path = [step for step in details["loc"] if step not in TAGS and step != "[key]"]
        fault = fault_message(details, members=MEMBERS)
        suggestion = f"; {suggest_fact(str(path[-1]))}" if fault == NO_FACT else ""
        yield pointer(*at, *path[len(at) :]), fault + suggestion


def _policies(document: Any) -> Iterator[tuple[_Path, Mapping[str, Any]]]:
    """Yields the path and value of each policy that is an object."""
    policies = document.get("policies") if isinstance(document, dict) else None
    for name, policy in (policies if isinstance(policies, dict) else {}).items():
        if isinstance(policy, dict):
            yield ("policies", name), policy


def _has_rules(policy: Mapping[str, Any]) -> bool:
    return isinstance(policy.get("rules"), list)


def _rules(document: Any) -> Iterator[tuple[_Path, Mapping[str, Any]]]:
    """Yields the path and value of each rule, and each `otherwise`, that is an object."""
    for path, policy in _policies(document):
        for index, rule in enumerate(policy["rules"] if _has_rules(policy) else ()):
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
    candidates = known if len(known) <= _MAX_CANDIDATES else ()
    for location, hub in find_hubs(document):
        if hub != OTHER_HUBS and hub.lower() not in known:
            close = get_close_matches(hub.lower(), candidates, n=1)
            suggestion = f"; did you mean '{close[0]}'?" if close else ""
            yield location, f"is not one of the hubs declared in `hubs`{suggestion}"


def _unusable_python(document: Any) -> Iterator[Fault]:
    for path, policy in _policies(document):
        python = policy.get("python")
        if isinstance(python, str) and ":" in python:
            try:
                PythonPolicy(python)
            except UnusablePolicyError as error:
                yield pointer(*path, "python"), str(error)


def add_lines(faults: Iterable[Fault], body: bytes) -> tuple[Diagnostic, ...]:
    """Returns the faults with their lines in a file that is JSON, in the order of the lines."""
    faults = tuple(faults)
    steps = (location.split("/") for location, _ in faults)
    wanted = {"/".join(path[:end]) for path in steps for end in range(len(path) + 1)}
    lines = _find_lines(body.decode("utf-8-sig"), wanted) if faults else {}
    diagnostics = (
        Diagnostic(location, _line_of(location, lines), fault) for location, fault in faults
    )
    return tuple(sorted(diagnostics, key=lambda diagnostic: diagnostic.line))


def _line_of(location: str, lines: Mapping[str, int]) -> int:
    """Returns the line of a value; of a missing member, the line of the object that lacks it."""
    while location not in lines:
        location = location.rpartition("/")[0]
    return lines[location]


_SYMBOL = re.compile(r'"(?:[^"\\]++|\\.)*+"|[^\s"{}\[\],:]+|[{}\[\],:\n]')
_FIRST_STEP: Mapping[str, str | int] = {"{": "", "[": 0}


def _find_lines(text: str, wanted: Container[str]) -> dict[str, int]:
    """Returns the lines of the wanted values by JSON Pointer; of a member, that of its name."""
    lines = {"": 1}
    line = 1
    path: list[str | int] = []  # of the current value; an int is a list index
    is_next = False  # whether the next symbol starts a list item, or is a member's name
    for match in _SYMBOL.finditer(text):
        symbol = match[0]
        if symbol == "\n":
            line += 1
        elif symbol in "}]":
            path.pop()
            is_next = False
        elif is_next:
            if isinstance(path[-1], str):
                path[-1] = json.loads(symbol)
            if (location := pointer(*path)) in wanted:
                lines[location] = line
            is_next = False
        if symbol in _FIRST_STEP:
            path.append(_FIRST_STEP[symbol])
            is_next = True
        elif symbol == ",":
            path[-1] = path[-1] + 1 if isinstance(path[-1], int) else ""
            is_next = True
    return lines
