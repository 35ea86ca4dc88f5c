"""`explain` and `rejected`, against an app with policies, queues and a function key."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage

from local.dps import Options
from local.stack import ROOT, Stack
from local.threads import in_thread
from tests import secret_factory
from tests.app_stack import environment_without_services
from tests.cli.conftest import Run

KEY = secret_factory.function_key()
HUBS = [f"hub-{number}.azure-devices.net" for number in (1, 3)]
_TIMEOUT = 30.0


@pytest.fixture(scope="module")
def own_stack() -> Iterator[Stack]:
    """A stack with the example policies and a function key."""
    with environment_without_services() as environment:
        environment.setenv("ALLOCATION_POLICIES_FILE", str(ROOT / "examples" / "allocation.json"))
        stack = Stack(Options(port=0, tls_port=None), functions_port=0, key=KEY)
        with in_thread(stack):
            yield stack


@pytest.fixture
def operate(run_cli: Run, own_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command line with the app's address and key."""
    monkeypatch.setenv("ENROLLMENT_URL", own_stack.host.url)
    monkeypatch.setenv("ENROLLMENT_KEY", KEY)
    return run_cli


@pytest.fixture
def thermostat(own_stack: Stack) -> str:
    """A device whose enrollment names the webhook and two hubs."""
    document = {
        "registrationId": "thermo-1",
        "attestation": {"type": "symmetricKey"},
        "allocationPolicy": "custom",
        "iotHubs": HUBS,
        "customAllocationDefinition": {
            "webhookUrl": "https://app.example/allocation/default",
            "apiVersion": "2021-10-01",
        },
    }
    headers = {"x-functions-key": KEY, "if-match": "*"}
    url = f"{own_stack.host.url}/enrollments/thermo-1"
    if httpx.put(url, headers=headers, json=document).is_error:
        httpx.put(url, headers={"x-functions-key": KEY}, json=document).raise_for_status()
    return "thermo-1"


def test_explain_names_hub_and_rule(operate: Run, thermostat: str) -> None:
    """The hub and the rule that decides are said, and each rule's result."""
    payload = '{"model": "t300", "region": "de"}'

    ran = operate("explain", thermostat, "--payload", payload)

    assert ran.code == 0
    assert "hub-1.azure-devices.net by rule 'europe', policy default" in ran.out
    assert "model not sold" in ran.out
    assert "its twin is created" in ran.out


def test_explain_of_a_refusal(operate: Run, thermostat: str) -> None:
    """A refused device has the reason; --json has the app's answer."""
    payload = '{"model": "unknown"}'

    text = operate("explain", thermostat, "--payload", payload)
    answer = operate("explain", thermostat, "--payload", payload, "--json").json

    assert "the model is not sold" in text.out
    assert (answer["rule"], answer["answer"]["status"]) == ("model not sold", 403)


def test_explain_uses_tags_and_policy(operate: Run, thermostat: str) -> None:
    """Tags, policy and linked hubs of the question can be others than those stored."""
    options = ("--policy", "by-depot", "--tag", "depot=antwerp", "--hub", HUBS[1])

    answer = operate("explain", thermostat, *options, "--json").json

    benelux = next(rule for rule in answer["rules"] if rule["name"] == "benelux")
    assert answer["policy"] == "by-depot"
    assert benelux["result"] != "does not match"


@pytest.mark.usefixtures("own_stack")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nobody",), "name its group with --group"),
        (("nobody", "--group", "none"), "no such group"),
        (("thermo-1", "--payload", "{"), "is not JSON"),
    ],
)
def test_explain_faults(
    operate: Run, thermostat: str, arguments: tuple[str, ...], message: str
) -> None:
    """What is missing or wrong is a usage error."""
    assert thermostat == "thermo-1"

    ran = operate("explain", *arguments)

    assert ran.code == 2
    assert message in ran.err


def test_explain_says_that_dps_would_not_ask(
    operate: Run, own_stack: Stack, thermostat: str
) -> None:
    """Where DPS calls no webhook, or for another enrollment, that is said beside the answer."""
    document = {"enrollmentGroupId": "presses", "attestation": {"type": "symmetricKey"}}
    headers = {"x-functions-key": KEY}
    url = f"{own_stack.host.url}/enrollmentGroups/presses"
    httpx.put(url, headers=headers, json=document).raise_for_status()

    ran = operate("explain", thermostat, "--group", "presses", "--hub", HUBS[0])

    assert ran.code == 0
    assert "The allocationPolicy is not set: DPS calls no webhook." in ran.err
    assert "The device has an enrollment" in ran.err


def test_a_wrong_key_is_reported(operate: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong function key is said, without the key."""
    wrong = secret_factory.function_key()
    monkeypatch.setenv("ENROLLMENT_KEY", wrong)

    ran = operate("rejected", "list")

    assert ran.code == 3
    assert "set ENROLLMENT_KEY" in ran.err


@pytest.mark.parametrize(
    ("url", "options", "code"),
    [
        pytest.param("{app}", (), 0, id="own"),
        pytest.param("{app}", ("--url", "{app}"), 0, id="named"),
        pytest.param("https://127.0.0.1:1", ("--url", "{app}"), 3, id="other"),
    ],
)
def test_the_key_of_a_profile_is_for_its_app(
    run_cli: Run, own_stack: Stack, url: str, options: tuple[str, ...], code: int
) -> None:
    """Address and key can be in a profile; the key is not sent to an address of the options."""
    app = own_stack.host.url
    connection = f'[connection]\nurl = "{url.format(app=app)}"\nkey = "{KEY}"\n'
    Path("erp.toml").write_text(connection)

    ran = run_cli("export", "--profile", "erp.toml", *(o.format(app=app) for o in options))

    assert ran.code == code
    assert KEY not in ran.out + ran.err


@pytest.fixture
def rejected(own_stack: Stack, operate: Run) -> list[dict[str, Any]]:
    """Two rejected messages, which the app has put there."""
    connection = own_stack.broker.connection_string
    with (
        ServiceBusClient.from_connection_string(connection, try_timeout=30) as client,
        client.get_queue_sender("enrollment-requests") as sender,
    ):
        for name in ("one", "two"):
            enrollment = {"registrationId": name, "attestation": {"type": "fingerprint"}}
            body = json.dumps({"operation": "create", "enrollment": enrollment})
            sender.send_messages(ServiceBusMessage(body))
    deadline = time.monotonic() + _TIMEOUT
    while time.monotonic() < deadline:
        lines = operate("rejected", "list", "--json").out.splitlines()
        if len(lines) >= 2:
            return [json.loads(line) for line in lines]
        time.sleep(0.05)
    raise TimeoutError


def test_rejected_messages(operate: Run, rejected: list[dict[str, Any]]) -> None:
    """Rejected messages are listed with reasons, replayed with a patch, and discarded."""
    numbers = {message["ids"][0]: message["sequenceNumber"] for message in rejected}
    patch = '{"enrollment": {"attestation": {"type": "symmetricKey"}}}'

    dry = operate("rejected", "replay", "--all", "--dry-run", "--json").json
    replayed = operate("rejected", "replay", numbers["one"], "--patch", patch, "--json").json
    discarded = operate("rejected", "discard", numbers["two"])
    again = operate("rejected", "discard", numbers["two"])

    assert dry["sequenceNumbers"] == sorted(numbers.values())
    assert replayed["sequenceNumbers"] == [numbers["one"]]
    assert (discarded.code, again.code) == (0, 3)
    assert operate("rejected", "list").err == "0 messages\n"


CONDITIONS: dict[tuple[str, ...], list[str]] = {
    ("--id", "ONE"): ["one"],
    ("--reason", "InvalidRequest"): ["one", "two"],
    ("--reason", "DpsConflict"): [],
    ("--older-than", "PT1H"): [],
    ("--limit", "1"): ["one"],
    ("--queue", "enrollment-requests/$deadletterqueue"): [],
}


def test_rejected_messages_are_selected(operate: Run, rejected: list[dict[str, Any]]) -> None:
    """`list` has the messages that meet a condition."""
    found = {}
    for options in CONDITIONS:
        lines = operate("rejected", "list", *options, "--json").out.splitlines()
        found[options] = [json.loads(line)["ids"][0] for line in lines]

    assert found == CONDITIONS
    for message in rejected:
        operate("rejected", "discard", message["sequenceNumber"])


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("1", "--all"),
        ("1", "--dry-run"),
        ("1", "--reason", "InvalidRequest"),
        ("--all", "--patch", "{}"),
    ],
)
def test_replay_needs_a_choice(operate: Run, options: tuple[str, ...]) -> None:
    """Nothing is replayed without a number or --all, or with an option that has no effect."""
    ran = operate("rejected", "replay", *options)

    assert (ran.code, ran.out) == (2, "")
