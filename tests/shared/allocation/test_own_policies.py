"""Policies in Python: one's own, through the door of the built-in ones."""

import json
from pathlib import Path

import pytest

from shared.allocation import AllocationRequest, Assignment, Refusal
from shared.allocation.files import check, parsed
from shared.errors import NoHubError
from tests.shared.allocation.asking import HUB_2, HUBS, asked

NO_POLICY = "text"


def own(request: AllocationRequest) -> Assignment | Refusal:
    """A policy as one would write it: by the floor of the building."""
    match request.payload:
        case {"floor": int(floor)} if floor >= 0:
            return Assignment(hub=HUBS[floor % 4], rule="floor")
        case {"floor": _}:
            return Refusal(reason="no cellars", rule="cellar")
        case _:
            raise NoHubError


async def waiting(_: AllocationRequest) -> Assignment:
    """What a policy must not be."""
    return Assignment(hub=HUB_2)


class Waiting:
    """The same, as an object."""

    async def __call__(self, _: AllocationRequest) -> Assignment:
        return Assignment(hub=HUB_2)


waiting_object = Waiting()


def test_own_policy_is_loaded(monkeypatch):
    """`module:attribute` names a callable of one's own."""
    monkeypatch.syspath_prepend(Path(__file__).parent)

    mine = parsed(b'{"policies": {"p": {"python": "test_own_policies:own"}}}').named("p")

    assert mine(asked(payload={"floor": 1})) == Assignment(hub=HUB_2, rule="floor")
    assert mine(asked(payload={"floor": -1})) == Refusal(reason="no cellars", rule="cellar")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("test_own_policies:waiting", "must not be async"),
        ("test_own_policies:waiting_object", "must not be async"),
        ("test_own_policies:NO_POLICY", "is nothing that can be called"),
        ("test_own_policies:nobody", "is nothing that can be called"),
        ("broken_policy:own", "cannot be imported: ZeroDivisionError"),
        ("shared.allocation.policies.hashed", "must be module:attribute"),
    ],
)
def test_own_policy_that_is_none_is_a_fault(monkeypatch, tmp_path, path, words):
    """What cannot be a policy is found when the file is read, not when a device waits."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken_policy.py").write_text("1 / 0")

    found = check(json.dumps({"policies": {"p": {"python": path}}}).encode())

    assert [fault.place for fault in found] == ["/policies/p/python"]
    assert found[0].words.startswith(words)
