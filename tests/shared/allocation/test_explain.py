"""Explanations: the decision, the result of each rule, and what DPS does with the answer."""

from http import HTTPStatus
from typing import Any

import pytest

from shared.allocation import Assignment, decide, explain
from shared.allocation.explain import describe_assignment, describe_failure
from shared.errors import NoHubError
from tests.shared.allocation.samples import GROUP, HUB_1, HUB_2, HUB_3, make_policy, make_request

GONE = "gone.azure-devices.net"


def test_each_rule_has_a_result() -> None:
    """A rule has a failed condition, no hub or the decision, or was not reached."""
    rules = make_policy(
        {"name": "a", "when": {"payload.x": {"gte": 1, "lt": 2}, "payload.y": {"equals": 1}}}
        | {"hub": HUB_1},
        {"name": "b", "hub": GONE},
        {"name": "c", "when": {"payload.x": {"equals": 5}}, "hub": HUB_2},
        {"name": "d", "hub": HUB_3},
        otherwise={"reject": "no"},
    )

    assert explain(rules, make_request(payload={"x": 5})).rules == [
        {
            "name": "a",
            "result": "does not match",
            "failed": {"fact": "payload.x", "operator": "lt", "operand": 2, "value": 5},
        },
        {"name": "b", "result": "matches, but has no hub that is linked"},
        {"name": "c", "result": "decides"},
        {"name": "d", "result": "not reached"},
        {"name": "otherwise", "result": "not reached"},
    ]


def test_long_operand_is_shortened() -> None:
    """An allow-list of thousands is not repeated in the answer."""
    rules = make_policy({"when": {"registrationId": {"in": list(range(1000))}}, "hub": HUB_1})

    (rule, _) = explain(rules, make_request()).rules

    assert rule["failed"]["operand"] == [*range(20), "… and 980 more"]


@pytest.mark.parametrize("hub", [HUB_1, GONE, {"keep": True}, {"hash": {HUB_2: 0, HUB_3: 2}}])
@pytest.mark.parametrize("otherwise", [None, {"reject": "no"}, {"hub": {"hash": {}}}])
@pytest.mark.parametrize("context", [{}, {"currentIotHubHostName": HUB_2}])
def test_explained_outcome_is_the_decision(
    hub: Any, otherwise: dict[str, Any] | None, context: dict[str, Any]
) -> None:
    """`explain` returns what `decide` returns, or the error that it raises."""
    rules = make_policy({"hub": hub}, **({"otherwise": otherwise} if otherwise else {}))
    request = make_request(**context)

    outcome = explain(rules, request).outcome

    if isinstance(outcome, NoHubError):
        with pytest.raises(NoHubError):
            decide(rules, request)
    else:
        assert decide(rules, request) == outcome


def test_python_policy_has_no_rules() -> None:
    """Of a Python policy only the decision is known."""
    explanation = explain(lambda _: Assignment(hub=HUB_1, rule="mine"), make_request())

    assert (explanation.outcome, explanation.rules) == (Assignment(hub=HUB_1, rule="mine"), [])


REPROVISIONING = [
    (True, True, "moves to hub-2.azure-devices.net with its twin"),
    (True, False, "its twin is created from the rule's initialTwin"),
    (False, False, "reprovision policy forbids moving the device"),
    (None, None, "has no reprovision policy"),
]


@pytest.mark.parametrize(("moves", "migrates", "text"), REPROVISIONING)
def test_move_follows_the_reprovision_policy(moves: Any, migrates: Any, text: Any) -> None:
    """Whether the twin moves depends on the enrollment's reprovision policy."""
    reprovisioning = {"updateHubAssignment": moves, "migrateDeviceData": migrates}
    request = make_request(
        group=GROUP | {"reprovisionPolicy": reprovisioning}, currentIotHubHostName=HUB_1
    )

    description = describe_assignment(Assignment(hub=HUB_2, initial_twin={}), request)

    assert text in description


@pytest.mark.parametrize("broken", [5, {"updateHubAssignment": []}, {"updateHubAssignment": {}}])
def test_malformed_reprovision_policy_is_treated_as_none(broken: dict[str, Any] | int) -> None:
    """An unexpected record does not fail the explanation."""
    request = make_request(group=GROUP | {"reprovisionPolicy": broken}, currentIotHubHostName=HUB_1)

    assert "moves" in describe_assignment(Assignment(hub=HUB_2), request)


@pytest.mark.parametrize(
    ("context", "twin", "text"),
    [
        ({}, None, "its twin is created from the enrollment's initialTwin"),
        ({}, {"tags": {}}, "its twin is created from the rule's initialTwin"),
        ({"currentIotHubHostName": HUB_2.upper()}, {}, "stays on hub-2.azure-devices.net"),
    ],
)
def test_first_and_unchanged_hub(
    context: dict[str, Any], twin: dict[str, Any] | None, text: str
) -> None:
    """The twin is created at the first assignment, and kept on the same hub."""
    assignment = Assignment(hub=HUB_2, initial_twin=twin)

    assert text in describe_assignment(assignment, make_request(**context))


def test_payload_is_always_received() -> None:
    """The device receives a payload with any hub, even if it is 0."""
    description = describe_assignment(Assignment(hub=HUB_2, payload=0), make_request())

    assert description.endswith("The device receives the payload.")


@pytest.mark.parametrize(("status", "text"), [(403, "fails with 400207"), (503, "DPS retries")])
def test_failure_is_final_or_retried(status: int, text: str) -> None:
    """Below 429 the registration fails; from 429 on DPS retries."""
    assert text in describe_failure(HTTPStatus(status))
