"""Validation of a policy file: all faults at once, each with line, JSON Pointer and message."""

import json
from typing import Any

import pytest

from shared.allocation.policy_file.validate import MAX_BYTES, validate
from shared.errors import MAX_FAULTS

MANY_FAULTS = """\
{
  "hubs": ["hub-1.azure-devices.net"],
  "polices": 1,
  "policies": {
    "default": {
      "rules": [
        {"name": "a", "when": {"payloda.x": {"equals": 1}, "payload.x": {}}, "hub": {"keep": 1}},
        {"name": "b",
         "when": {"registrationId": {"matches": "(a", "like": "b"},
                  "payload.n": {"lt": "ten", "in": [], "equals": null, "exists": "yes"}},
         "hub": {"hash": {"hub-1": 1, "hub-9.azure-devices.net": -1, "*": true}},
         "initialTwin": {"tags": {"a": "${payloda.x}"}, "desired": {}}},
        {"name": "b", "reject": "", "hub": "hub-1.azure-devices.net"},
        {"hub": "hub-1.azure-devices.net"},
        7
      ],
      "otherwise": {"payload": "${nothing}"}
    },
    "Own": {"python": "os.path"},
    "mine": {"python": "no.such:thing"},
    "both": {"python": "os:sep", "rules": []},
    "none": {}
  }
}
"""


def faults(text: str) -> dict[str, tuple[int, str]]:
    """Returns line and message of each fault by its pointer."""
    return {fault.pointer: (fault.line, fault.message) for fault in validate(text.encode())}


def test_all_faults_are_found_at_once() -> None:
    """Structure, names, operands, patterns, templates, hubs and Python paths in one run."""
    rules = "/policies/default/rules"
    assert {pointer: line for pointer, (line, _) in faults(MANY_FAULTS).items()} == {
        "/polices": 3,
        f"{rules}/0/when/payloda.x": 7,
        f"{rules}/0/when/payload.x": 7,
        f"{rules}/0/hub/keep": 7,
        f"{rules}/1/when/registrationId/matches": 9,
        f"{rules}/1/when/registrationId/like": 9,
        f"{rules}/1/when/payload.n/lt": 10,
        f"{rules}/1/when/payload.n/in": 10,
        f"{rules}/1/when/payload.n/equals": 10,
        f"{rules}/1/when/payload.n/exists": 10,
        f"{rules}/1/hub/hash/hub-1": 11,
        f"{rules}/1/hub/hash/hub-9.azure-devices.net": 11,
        f"{rules}/1/hub/hash/*": 11,
        f"{rules}/1/initialTwin/tags": 12,
        f"{rules}/1/initialTwin/desired": 12,
        f"{rules}/2/name": 13,
        f"{rules}/2/reject": 13,
        f"{rules}/3/name": 14,
        f"{rules}/4": 15,
        "/policies/default/otherwise/hub": 17,
        "/policies/default/otherwise/payload": 17,
        "/policies/Own": 19,
        "/policies/Own/python": 19,
        "/policies/mine/python": 20,
        "/policies/both/python": 21,
        "/policies/none/rules": 22,
    }


@pytest.mark.parametrize(
    ("pointer", "message"),
    [
        (
            "/policies/default/rules/0/when/payloda.x",
            "is not a fact; did you mean 'payload'?",
        ),
        ("/policies/default/rules/0/when/payload.x", "must have an operator; the operators are eq"),
        ("/policies/default/rules/0/hub/keep", "must be true"),
        (
            "/policies/default/rules/1/when/registrationId/matches",
            "is not a valid pattern: character 3: a ( before it is not closed",
        ),
        ("/policies/default/rules/1/when/payload.n/in", "must be a non-empty list of strings, nu"),
        ("/policies/default/rules/1/hub/hash/hub-1", "is not one of the hubs declared in `hubs`"),
        (
            "/policies/default/rules/1/hub/hash/hub-9.azure-devices.net",
            "is not one of the hubs declared in `hubs`; did you mean 'hub-1.azure-devices.net'?",
        ),
        (
            "/policies/default/rules/1/initialTwin/tags",
            "has a placeholder at /a that is not a fact; did you mean 'payload'?",
        ),
        (
            "/policies/default/otherwise/payload",
            "has a placeholder that is not a fact; the facts are registrationId, ",
        ),
        ("/policies/default/rules/2/name", "must be unique in the policy"),
        ("/policies/default/rules/3/name", "is required"),
        ("/policies/mine/python", "cannot be imported: ModuleNotFoundError"),
    ],
)
def test_message_says_what_is_wrong_and_what_is_allowed(pointer: str, message: str) -> None:
    """A message is a sentence whose subject is the pointer."""
    assert message in [text[: len(message)] for text in messages(MANY_FAULTS, pointer)]


def messages(text: str, pointer: str) -> list[str]:
    """Returns the messages of all faults at a pointer."""
    return [fault.message for fault in validate(text.encode()) if fault.pointer == pointer]


def test_faults_are_in_the_order_of_the_file() -> None:
    """Faults are sorted by line."""
    lines = [fault.line for fault in validate(MANY_FAULTS.encode())]

    assert lines == sorted(lines)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        '{"policies": {}}',
        '{"policies": []}',
        '{"policies": null}',
        "{}",
        "\xff",
    ],
)
def test_file_without_policies_has_faults(text: str) -> None:
    """Whatever a file contains, the result is a fault and never another exception."""
    assert validate(text.encode("latin-1"))


def test_duplicate_member_is_a_fault_with_its_line() -> None:
    """Which of two policies with one name counts depends on the JSON reader, so none does."""
    text = '{"policies": {\n"a": {"rules": []},\n"a": {"rules": []}}}'

    assert [line for line, _ in faults(text).values()] == [3]
    assert list(faults(text)) == ["/policies/a"]


def test_file_that_is_too_large_has_a_fault() -> None:
    """A file has 10 MB at most."""
    assert validate(b" " * MAX_BYTES + b"{}")


def test_number_of_faults_is_limited() -> None:
    """The first thousand are listed with their lines, and that there are more."""
    rules: list[Any] = [{"name": f"rule {n}", "hub": "no-host", "x": 1} for n in range(5000)]
    rules[1] = {"name": "b", "hub": "no-host", "when": {"payloda": {"equals": 1}}}
    rules[2] = {"name": "many", "hub": "no-host", **dict.fromkeys(map(str, range(MAX_FAULTS)))}
    file = {"policies": {"Other": {"rules": [], "x": 1}, "default": {"rules": rules}}}

    faults = validate(json.dumps(file, indent=1).encode())

    assert len(faults) == MAX_FAULTS
    assert faults[-1].message == "has more faults than are listed"
    messages = {fault.pointer: fault.message for fault in faults}
    at = "/policies/default/rules"
    assert messages[f"{at}/0/x"] == "is not a member here"
    assert messages[f"{at}/1/when/payloda"] == "is not a fact; did you mean 'payload'?"
    assert messages[f"{at}/2"] == f"has {MAX_FAULTS + 1} faults"
    assert messages["/policies/Other/x"] == "is not a member here"
    assert messages["/policies/Other"].startswith("must be 1 to 64 of")
    assert all(fault.line for fault in faults[:-1])


def test_faults_of_a_file_without_rules_are_limited_too() -> None:
    """Then only their number is reported."""
    file: dict[str, Any] = {"polices": {}, **dict.fromkeys(map(str, range(MAX_FAULTS)))}

    assert [str(fault) for fault in validate(json.dumps(file).encode())] == [
        f"line 1: has {MAX_FAULTS + 2} faults"
    ]
