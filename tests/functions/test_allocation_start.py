"""What a device waits for: a webhook that loads little and asks nobody."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shared.allocation.asking import HUBS, body

ROOT = Path(__file__).parents[2]
COSTLY = {"httpx", "aiohttp", "azure.identity", "azure.servicebus", "cryptography"}

CALL = """
import asyncio, json, socket, sys
import azure.functions as func
import function_app

def refuse(*_):
    raise AssertionError("a decision went to the network")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
trigger = next(
    found.get_user_function()
    for found in function_app.app.get_functions()
    if found.get_function_name() == "allocation_decide"
)
request = func.HttpRequest(method="POST", url="/allocation", body=sys.stdin.buffer.read())
reply = asyncio.run(trigger(request))
print(json.dumps([reply.status_code, json.loads(reply.get_body()), sorted(sys.modules)]))
"""


@pytest.fixture
def call(tmp_path):
    """Calls the webhook once, in a Python of its own; gives status, answer and loaded modules."""

    def answered(rule: dict, question: dict) -> tuple[int, dict, set[str]]:
        path = tmp_path / "policies.json"
        rules = [{"name": "a"} | rule]
        path.write_text(json.dumps({"policies": {"default": {"rules": rules}}}))
        kept = {name: value for name, value in os.environ.items() if "DPS_" not in name}  # noqa: TID251  the child's
        ran = subprocess.run(  # noqa: S603  our own Python
            [sys.executable, "-W", "error", "-c", CALL],
            cwd=ROOT,
            env=kept | {"ALLOCATION_POLICIES_FILE": str(path)},
            input=json.dumps(question),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        status, answer, modules = json.loads(ran.stdout.splitlines()[-1])
        return status, answer, set(modules)

    return answered


def test_decision_loads_nothing_costly_and_asks_nobody(call):
    """After the import of the app and one decision: no HTTP client, identity, Service Bus, X.509."""
    status, answer, modules = call({"hub": {"hash": {}}}, body(payload={"a": 1}))

    assert status == 200
    assert answer["iotHubHostName"] in HUBS
    assert COSTLY & modules == set()


def test_cryptography_is_loaded_when_a_rule_asks(call):
    """A rule on the device's certificate is what it is for; still nobody is asked."""
    when = {"deviceCertificate.commonName": {"exists": False}}
    status, _, modules = call(
        {"when": when, "hub": {"hash": {}}}, body(x509={"clientCertificate": "AAAA"})
    )

    assert status == 200
    assert COSTLY & modules == {"cryptography"}


def test_certificates_that_dps_has_read_need_no_cryptography(call):
    """What stands in `info` is taken from there."""
    when = {"signingCertificates.primary.commonName": {"equals": "a"}}
    certificates = {"signingCertificates": {"primary": {"info": {"subjectName": "CN=a"}}}}
    group = {"enrollmentGroupId": "g", "attestation": {"type": "x509", "x509": certificates}}
    status, _, modules = call({"when": when, "hub": {"hash": {}}}, body(group=group))

    assert status == 200
    assert COSTLY & modules == set()
