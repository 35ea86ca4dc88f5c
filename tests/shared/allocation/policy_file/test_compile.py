"""Python policies: how a policy file names them, and what cannot be one."""

import json
from pathlib import Path

import pytest

from shared.allocation import AllocationRequest, Assignment, Refusal
from shared.allocation.policy_file.load import parse_policies
from shared.allocation.policy_file.validate import validate
from shared.errors import NoHubError
from tests.shared.allocation.samples import HUB_2, HUBS, make_request

NOT_CALLABLE = "text"


def by_floor(request: AllocationRequest) -> Assignment | Refusal:
    """A policy as a user would write it."""
    match request.payload:
        case {"floor": int(floor)} if floor >= 0:
            return Assignment(hub=HUBS[floor % 4], rule="floor")
        case {"floor": _}:
            return Refusal(reason="no basements", rule="basement")
        case _:
            raise NoHubError


async def async_policy(_: AllocationRequest) -> Assignment:
    """A coroutine function, which cannot be a policy."""
    return Assignment(hub=HUB_2)


class AsyncPolicy:
    """An object with a coroutine method, which cannot be a policy either."""

    async def __call__(self, _: AllocationRequest) -> Assignment:
        return Assignment(hub=HUB_2)


async_object = AsyncPolicy()


def test_python_policy_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """`module:attribute` names the callable that decides."""
    monkeypatch.syspath_prepend(Path(__file__).parent)

    policy = parse_policies(b'{"policies": {"p": {"python": "test_compile:by_floor"}}}').get("p")

    assert policy(make_request(payload={"floor": 1})) == Assignment(hub=HUB_2, rule="floor")
    assert policy(make_request(payload={"floor": -1})) == Refusal(
        reason="no basements", rule="basement"
    )


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("test_compile:async_policy", "must not be async"),
        ("test_compile:async_object", "must not be async"),
        ("test_compile:NOT_CALLABLE", "must name a callable"),
        ("test_compile:missing", "must name a callable"),
        ("broken_policy:by_floor", "cannot be imported: ZeroDivisionError"),
        ("shared.allocation.policies.hashed", "must be module:attribute"),
    ],
)
def test_unusable_python_policy_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, path: str, message: str
) -> None:
    """The fault is reported when the file is loaded, not when a device is waiting."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken_policy.py").write_text("1 / 0")

    faults = validate(json.dumps({"policies": {"p": {"python": path}}}).encode())

    assert [fault.pointer for fault in faults] == ["/policies/p/python"]
    assert faults[0].message.startswith(message)
