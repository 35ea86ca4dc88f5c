"""The policy file: used whole, or not at all, with every fault and its place."""

import json
from pathlib import Path

import pytest

from shared.allocation.files import MAX_BYTES, check, parsed, read
from shared.errors import PolicyFileError, UnknownPolicyError
from tests.shared.allocation.asking import HUB_1, HUBS, asked

ROOT = Path(__file__).parents[3]
GOOD = {"policies": {"default": {"rules": [], "otherwise": {"hub": HUB_1}}}}

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
    """Line and words of each fault by its place."""
    return {found.place: (found.line, found.words) for found in check(text.encode())}


def test_every_fault_is_found_at_once():
    """Structure, names, operands, patterns, templates, hubs and Python: all in one go."""
    rules = "/policies/default/rules"
    assert {place: line for place, (line, _) in faults(MANY_FAULTS).items()} == {
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
    ("place", "words"),
    [
        ("/policies/default/rules/0/when/payloda.x", "is no fact"),
        ("/policies/default/rules/0/when/payload.x", "must have an operator"),
        ("/policies/default/rules/0/hub/keep", "must be true"),
        ("/policies/default/rules/1/when/registrationId/matches", "has at character 3 a ( that"),
        ("/policies/default/rules/1/when/payload.n/in", "must be a list of strings, numbers"),
        ("/policies/default/rules/1/hub/hash/hub-1", "is none of the hubs that the file declares"),
        ("/policies/default/rules/1/initialTwin/tags", "names a fact that there is not, at /a"),
        ("/policies/default/rules/2/name", "is the name of another rule"),
        ("/policies/default/rules/3/name", "is required"),
        ("/policies/mine/python", "cannot be imported: ModuleNotFoundError"),
    ],
)
def test_fault_says_what_is_wrong(place, words):
    """The words go on where the place ends."""
    assert faults(MANY_FAULTS)[place][1].startswith(words)


def test_faults_come_in_the_order_of_the_file():
    """Whoever mends a file goes through it once."""
    lines = [found.line for found in check(MANY_FAULTS.encode())]

    assert lines == sorted(lines)


def test_broken_file_gives_no_policy():
    """One fault, and none of the file is used; the error names each fault with its line."""
    with pytest.raises(PolicyFileError) as caught:
        parsed(MANY_FAULTS.encode())

    assert len(caught.value.faults) == len(faults(MANY_FAULTS))
    words = caught.value.faults["ALLOCATION_POLICIES_FILE#/policies/default/rules/1/hub/hash/hub-1"]
    assert words.startswith("line 11: must be the host name of a hub")
    assert "line 11: is none of the hubs" in words


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
def test_file_that_is_no_policy_file_is_refused(text):
    """Whatever stands in the file, the answer is a fault and no exception of another kind."""
    with pytest.raises(PolicyFileError):
        parsed(text.encode("latin-1"))


def test_member_that_stands_twice_is_a_fault_with_its_line():
    """Of two policies of one name, JSON readers take either: neither is taken."""
    text = '{"policies": {\n"a": {"rules": []},\n"a": {"rules": []}}}'

    assert faults(text) == {"/policies/a": (3, "stands there more than once")}


def test_too_large_a_file_is_refused():
    """A file has 10 MB at most."""
    with pytest.raises(PolicyFileError):
        parsed(b" " * MAX_BYTES + b"{}")


def test_file_that_is_named_must_be_there(tmp_path):
    """A name that leads nowhere is a fault, not the built-in policy."""
    with pytest.raises(PolicyFileError) as caught:
        read(tmp_path / "none.json")

    assert caught.value.faults == {"ALLOCATION_POLICIES_FILE": "names a file that is not there"}


def test_what_is_no_file_is_a_fault(tmp_path):
    """A directory cannot be read."""
    with pytest.raises(PolicyFileError):
        read(tmp_path)


def test_without_a_file_devices_are_spread_over_all_linked_hubs(tmp_path):
    """Nothing named, nothing there: the policy `default` is the built-in one."""
    default = read(tmp_path / "allocation.json", must_exist=False).named("default")

    hubs = {default(asked(registrationId=f"dev-{number}")).hub for number in range(60)}

    assert hubs == set(HUBS)


def test_file_is_read(tmp_path):
    """A file with a byte order mark, as Windows writes them, is one too."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps(GOOD), "utf-8-sig")

    assert read(path).named("DEFAULT")(asked()).hub == HUB_1


def test_version_is_that_of_the_bytes():
    """Equal files have equal versions, and no others."""
    one, other = json.dumps(GOOD).encode(), json.dumps(GOOD, indent=1).encode()

    assert parsed(one).version == parsed(one).version != parsed(other).version


def test_unknown_policy_is_an_error():
    """No other policy stands in for one that is not declared."""
    with pytest.raises(UnknownPolicyError):
        parsed(json.dumps(GOOD).encode()).named("nobody")
