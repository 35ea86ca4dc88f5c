"""Every fault of a policy file, found in one go, whatever its shape."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from shared.allocation.language import OTHERWISE, TAGS, PolicyFile
from shared.allocation.plugging import UnusablePolicyError, load
from shared.allocation.rules import OTHERS
from shared.documents import pointer
from shared.faults import in_words

Fault = tuple[str, str]
"""A JSON Pointer, and what is wrong there."""


def faults_in(document: Any) -> Iterator[Fault]:
    """The faults the models know, and those that only show when parts are held side by side."""
    try:
        PolicyFile.model_validate(document)
    except ValidationError as error:
        for found in error.errors(include_url=False, include_input=False):
            yield pointer(*_steps(found)), in_words(found)
    yield from _doubled_names(document)
    yield from _undeclared_hubs(document)
    yield from _unusable_python(document)


def _steps(found: ErrorDetails) -> Iterator[object]:
    return (step for step in found["loc"] if step not in TAGS and step != "[key]")


def policies_in(document: Any) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Every policy that is an object at all, with the steps to it."""
    policies = document.get("policies") if isinstance(document, dict) else None
    for name, policy in (policies if isinstance(policies, dict) else {}).items():
        if isinstance(policy, dict):
            yield ("policies", name), policy


def _outcomes(
    policy: Mapping[str, Any], *steps: object
) -> Iterator[tuple[tuple[object, ...], Mapping[str, Any]]]:
    """Every rule that is an object at all, and `otherwise`, with the steps to each."""
    rules = policy.get("rules")
    found = [("rules", index, rule) for index, rule in enumerate(_list(rules))]
    for *its_steps, rule in (*found, (OTHERWISE, policy.get(OTHERWISE))):
        if isinstance(rule, dict):
            yield (*steps, *its_steps), rule


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _doubled_names(document: Any) -> Iterator[Fault]:
    for at, policy in policies_in(document):
        seen = {OTHERWISE}
        for steps, rule in _outcomes(policy, *at):
            name = rule.get("name")
            if isinstance(name, str) and name in seen:
                yield pointer(*steps, "name"), "is the name of another rule of the policy"
            seen |= {name} if isinstance(name, str) else set()


def hubs_in(document: Any) -> Iterator[tuple[str, str]]:
    """Every hub that a rule names, after the JSON Pointer to where it does."""
    for at, policy in policies_in(document):
        for steps, outcome in _outcomes(policy, *at):
            hub = outcome.get("hub")
            if isinstance(hub, str):
                yield pointer(*steps, "hub"), hub
            weights = hub.get("hash") if isinstance(hub, dict) else None
            for name in weights if isinstance(weights, dict) else ():
                yield pointer(*steps, "hub", "hash", name), name


def _undeclared_hubs(document: Any) -> Iterator[Fault]:
    declared = document.get("hubs") if isinstance(document, dict) else None
    if not isinstance(declared, list):
        return
    known = {OTHERS, *(hub.lower() for hub in declared if isinstance(hub, str))}
    for place, hub in hubs_in(document):
        if hub.lower() not in known:
            yield place, "is none of the hubs that the file declares in `hubs`"


def _unusable_python(document: Any) -> Iterator[Fault]:
    for at, policy in policies_in(document):
        path = policy.get("python")
        if isinstance(path, str) and ":" in path:
            try:
                load(path)
            except UnusablePolicyError as error:
                yield pointer(*at, "python"), str(error)
