"""python -m local.device register: results, output and exit codes."""

import asyncio
import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.local.dps.calls import tpm_document
from tests.local.dps.certificates import Certificate, enroll
from tests.local.dps.devices import HUBS, Fleet, Webhook, custom, status, to_hub

Register = Callable[..., tuple[int, str, str]]


def state_in(output: str) -> Any:
    """Returns the registration state at the end of the output."""
    return json.loads(output[output.index("{") :])


def test_assigned_device_exits_with_0(fleet: Fleet, register: Register) -> None:
    """The command prints each request and the final state."""
    key = fleet.enroll(allocationPolicy="static", iotHubs=[HUBS[1]]).key

    code, output, errors = register("--id", "dev-1", "--key", key)

    assert (code, errors) == (0, "")
    assert output.startswith("PUT register: 202\n  assigning, polling in 0 s\n")
    assert state_in(output)["assignedHub"] == HUBS[1]


def test_throttled_device_waits_and_goes_on(fleet: Fleet, register: Register) -> None:
    """A 429 to the registration and one to a poll are retried."""
    key = fleet.enroll().key
    throttled = {"status": 429, "headers": {"Retry-After": "0"}}
    faults = [
        {"match": {"path": path}, "times": 1, "do": throttled}
        for path in ("/register$", "/operations/")
    ]
    fleet.client.put("/_faults", json=faults).raise_for_status()

    code, output, _ = register("--id", "dev-1", "--key", key)

    assert (code, output.count(": 429\n")) == (0, 2)


def test_group_key_is_derived(fleet: Fleet, register: Register) -> None:
    """`--group-key` derives the device's key from its registration id."""
    fleet.enroll_group()
    _, key = fleet.keys_of("/enrollmentGroups/group-1")

    code, _, _ = register("--id", "dev:9", "--group-key", key)

    assert (code, fleet.registration("dev:9")["status"]) == (0, "assigned")


@pytest.mark.parametrize("files", ["one", "two"])
def test_certificate_is_presented(
    fleet: Fleet, register: Register, tmp_path: Path, files: str
) -> None:
    """The private key is in the certificate's file or in a separate file."""
    own = Certificate.create("dev-1")
    enroll(fleet, own)
    certificate, key = tmp_path / "own.pem", tmp_path / "key.pem"
    certificate.write_text(own.pem + own.private_pem * (files == "one"))
    key.write_text(own.private_pem)
    private = ("--private-key", key) if files == "two" else ()

    code, _, errors = register(
        "--id", "dev-1", "--certificate", certificate, *private, dps=fleet.dps.tls_url
    )

    assert (code, errors) == (0, "")


def test_endorsement_key_prints_that_there_is_no_challenge(
    fleet: Fleet, register: Register
) -> None:
    """The output says that the registration proves nothing about the TPM."""
    document = tpm_document("tpm-1")
    fleet.put("/enrollments/tpm-1", document)
    key = document["attestation"]["tpm"]["endorsementKey"]

    code, output, _ = register("--id", "tpm-1", "--endorsement-key", key)

    assert code == 0
    assert "the TPM challenge is not implemented" in output


def test_payloads_are_exchanged_with_the_webhook(
    fleet: Fleet, register: Register, webhook: Webhook
) -> None:
    """The webhook receives the device's payload; the state has the webhook's payload."""
    webhook.answer_with(to_hub(1, payload={"tier": "eu"}))
    key = fleet.enroll(**custom(webhook.url)).key

    _, output, _ = register("--id", "dev-1", "--key", key, "--payload", '{"model": "a1"}')

    assert webhook.requests[0]["deviceRuntimeContext"]["payload"] == {"model": "a1"}
    assert state_in(output)["payload"] == {"tier": "eu"}


def test_device_rejected_by_a_webhook_exits_with_1(
    fleet: Fleet, register: Register, webhook: Webhook
) -> None:
    """The printed state has the error."""
    webhook.answer_with(status(403))
    key = fleet.enroll(**custom(webhook.url)).key

    code, output, _ = register("--id", "dev-1", "--key", key)

    assert (code, state_in(output)["errorCode"]) == (1, 400207)


def test_device_polls_while_it_is_assigning(
    fleet: Fleet, register: Register, webhook: Webhook
) -> None:
    """The device polls more than once if necessary."""

    async def answer_after_a_poll(request: dict[str, Any]) -> web.Response:
        for _ in range(1000):
            if any(request.operation == "device.operationStatus" for request in fleet.dps.requests):
                break
            await asyncio.sleep(0.005)
        response = to_hub(1)(request)
        assert isinstance(response, web.Response)
        return response

    webhook.answer_with(answer_after_a_poll)
    key = fleet.enroll(**custom(webhook.url)).key

    code, output, _ = register("--id", "dev-1", "--key", key)

    assert code == 0
    assert output.count("GET operations/") > 1


def test_disabled_device_exits_with_1(fleet: Fleet, register: Register) -> None:
    """The printed state has the status `disabled`."""
    key = fleet.enroll(provisioningStatus="disabled").key

    code, output, _ = register("--id", "dev-1", "--key", key)

    assert (code, state_in(output)["status"]) == (1, "disabled")


def test_unauthorized_device_exits_with_1(fleet: Fleet, register: Register) -> None:
    """The command prints status, code and message in one line."""
    fleet.enroll()
    other_key = fleet.enroll("dev-2").key

    code, _, errors = register("--id", "dev-1", "--key", other_key)

    assert (code, errors) == (1, "rejected with 401: 401002 Unauthorized\n")


@pytest.mark.parametrize("proof", ["--key", "--group-key", "--endorsement-key"])
def test_keys_are_not_printed(fleet: Fleet, register: Register, proof: str) -> None:
    """No key is printed, whether the device is authenticated or not."""
    key = fleet.enroll().key

    _, output, errors = register("--id", "dev-1", proof, key)

    assert key not in output + errors
    assert "SharedAccessSignature" not in output + errors


def test_invalid_key_exits_with_2(
    register: Register,
) -> None:
    """The error names the argument but does not contain the key."""
    code, _, errors = register("--id", "dev-1", "--key", "no-base64!")

    assert (code, "no-base64" in errors) == (2, False)
    assert "--key: must be a key in base64" in errors


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("--key", "a2V5"), "--id"),
        (("--id", "dev-1"), "--key"),
        (("--id", "dev-1", "--key", "a2V5", "--group-key", "a2V5"), "--group-key"),
        (("--id", "dev-1", "--key", "a2V5", "--payload", "{"), "--payload"),
    ],
)
def test_invalid_arguments_exit_with_2(
    register: Register, arguments: tuple[str, ...], name: str
) -> None:
    """The error names the argument."""
    code, _, errors = register(*arguments)

    assert code == 2
    assert name in errors


def test_missing_certificate_file_exits_with_1(register: Register, tmp_path: Path) -> None:
    """The error says that the file is missing."""
    code, _, errors = register("--id", "dev-1", "--certificate", tmp_path / "none.pem")

    assert code == 1
    assert "No such file" in errors


def test_unreachable_service_exits_with_1(
    register: Register,
) -> None:
    """The command prints one line with the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    code, _, errors = register("--id", "a", "--key", "a2V5", dps=f"http://127.0.0.1:{port}")

    assert code == 1
    assert f"127.0.0.1:{port}" in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"operationId": "1"}'])
def test_response_that_is_not_a_registration_exits_with_1(
    fleet: Fleet, register: Register, body: str
) -> None:
    """The command prints no traceback."""
    fault = {"do": {"status": 202, "body": body}}
    fleet.client.put("/_faults", json=[fault])

    code, _, errors = register("--id", "dev-1", "--key", "a2V5")

    assert (code, errors) == (1, "The response is not a registration operation\n")


def test_process_finds_the_stand_in_by_dps_port(
    fleet: Fleet, process: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """The command calls the port in DPS_PORT with the stand-in's id scope."""
    key = fleet.enroll().key

    ended = process("register", "--id", "dev-1", "--key", key, DPS_PORT=str(fleet.dps.port))

    assert (ended.returncode, ended.stderr) == (0, "")
    assert state_in(ended.stdout)["status"] == "assigned"


def test_invalid_dps_port_exits_with_1(
    process: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """The error names the variable and its value."""
    ended = process("register", "--id", "dev-1", "--key", "a2V5", DPS_PORT="http")

    assert ended.returncode == 1
    assert ended.stderr == "DPS_PORT must be a port between 0 and 65535, not 'http'\n"


def test_trust_verifies_the_server_certificate(
    fleet: Fleet, register: Register, tmp_path: Path
) -> None:
    """With `--trust` the certificate is verified, even on loopback."""
    other = tmp_path / "other.pem"
    other.write_text(Certificate.create("127.0.0.1", ca=True).pem)

    code, _, errors = register(
        "--id", "dev-1", "--key", "a2V5", "--trust", other, dps=fleet.dps.tls_url
    )

    assert code == 1
    assert "certificate verify failed" in errors
