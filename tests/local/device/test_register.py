"""python -m local.device register: what it does, says, and keeps to itself."""

import asyncio
import json
import socket

import pytest

from tests.local.dps.authorities import self_signed
from tests.local.dps.calls import tpm_document
from tests.local.dps.devices import HUBS, custom, status, to_hub


def state_in(output):
    """The registration state that ends the output."""
    return json.loads(output[output.index("{") :])


def test_a_device_is_assigned(yard, register):
    """Each step is told, and the final state; the exit code is 0."""
    key = yard.individual(iotHubs=[HUBS[1]]).key

    code, output, errors = register("--id", "dev-1", "--key", key)

    assert (code, errors) == (0, "")
    assert output.startswith("PUT register: 202\n  assigning, ask in 0 s\n")
    assert state_in(output)["assignedHub"] == HUBS[1]


def test_a_group_key_is_derived(yard, register):
    """For the id that is given."""
    yard.member()
    mechanism = yard.owner.post("/enrollmentGroups/group-1/attestationmechanism").json()
    key = mechanism["symmetricKey"]["secondaryKey"]

    code, _, _ = register("--id", "dev:9", "--group-key", key)

    assert (code, yard.registration("dev:9")["status"]) == (0, "assigned")


@pytest.mark.parametrize("files", ["one", "two"])
def test_a_certificate_is_presented(yard, register, tmp_path, files):
    """With its key in the same file or another."""
    own = self_signed("dev-1")
    pair = {"primary": {"certificate": own.pem}}
    attestation = {"type": "x509", "x509": {"clientCertificates": pair}}
    yard.put("/enrollments/dev-1", {"registrationId": "dev-1", "attestation": attestation})
    certificate, key = tmp_path / "own.pem", tmp_path / "key.pem"
    certificate.write_text(own.pem + own.private_pem * (files == "one"))
    key.write_text(own.private_pem)
    private = ("--private-key", key) if files == "two" else ()

    code, _, errors = register(
        "--id", "dev-1", "--certificate", certificate, *private, dps=yard.dps.tls_url
    )

    assert (code, errors) == (0, "")


def test_an_endorsement_key_is_not_challenged_and_that_is_said(yard, register):
    """So that nobody takes it for a proof."""
    document = tpm_document("tpm-1")
    yard.put("/enrollments/tpm-1", document)
    key = document["attestation"]["tpm"]["endorsementKey"]

    code, output, _ = register("--id", "tpm-1", "--endorsement-key", key)

    assert code == 0
    assert "the TPM challenge is not done" in output


def test_the_payload_goes_to_the_webhook_and_its_own_comes_back(yard, register, webhook):
    """Through DPS, both ways."""
    webhook.will(to_hub(1, payload={"tier": "eu"}))
    key = yard.individual(**custom(webhook.url)).key

    _, output, _ = register("--id", "dev-1", "--key", key, "--payload", '{"model": "a1"}')

    assert webhook.requests[0]["deviceRuntimeContext"]["payload"] == {"model": "a1"}
    assert state_in(output)["payload"] == {"tier": "eu"}


def test_a_device_that_is_refused_by_a_webhook_is_told_so(yard, register, webhook):
    """The state says why, and the exit code is 1."""
    webhook.will(status(403))
    key = yard.individual(**custom(webhook.url)).key

    code, output, _ = register("--id", "dev-1", "--key", key)

    assert (code, state_in(output)["errorCode"]) == (1, 400207)


def test_a_device_waits_while_it_is_being_assigned(yard, register, webhook):
    """It asks again until it is told."""

    async def answer_once_asked(request):
        for _ in range(1000):
            if any(seen.operation == "device.operationStatus" for seen in yard.dps.requests):
                break
            await asyncio.sleep(0.005)
        return to_hub(1)(request)

    webhook.will(answer_once_asked)
    key = yard.individual(**custom(webhook.url)).key

    code, output, _ = register("--id", "dev-1", "--key", key)

    assert code == 0
    assert output.count("GET operations/") > 1


def test_a_disabled_device_is_not_assigned(yard, register):
    """The exit code tells."""
    key = yard.individual(provisioningStatus="disabled").key

    code, output, _ = register("--id", "dev-1", "--key", key)

    assert (code, state_in(output)["status"]) == (1, "disabled")


def test_a_device_that_is_refused_is_told_code_and_words(yard, register):
    """On stderr, in one line."""
    yard.individual()
    stranger = yard.individual("dev-2").key

    code, _, errors = register("--id", "dev-1", "--key", stranger)

    assert (code, errors) == (1, "refused with 401: 401002 Unauthorized\n")


@pytest.mark.parametrize("proof", ["--key", "--group-key", "--endorsement-key"])
def test_no_key_is_ever_printed(yard, register, proof):
    """Whether the device is let in or not."""
    key = yard.individual().key

    _, output, errors = register("--id", "dev-1", proof, key)

    assert key not in output + errors
    assert "SharedAccessSignature" not in output + errors


def test_a_garbled_key_is_named_and_not_shown(register):
    """By the name of its argument, with exit code 2."""
    code, _, errors = register("--id", "dev-1", "--key", "no-base64!")

    assert (code, "no-base64" in errors) == (2, False)
    assert "--key: a key in base64 is needed" in errors


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--key", "a2V5"), "--id"),
        (("--id", "dev-1"), "--key"),
        (("--id", "dev-1", "--key", "a2V5", "--group-key", "a2V5"), "--group-key"),
        (("--id", "dev-1", "--key", "a2V5", "--payload", "{"), "--payload"),
    ],
)
def test_a_garbled_command_is_refused(register, arguments, named):
    """Before anything is sent, naming the argument."""
    code, _, errors = register(*arguments)

    assert code == 2
    assert named in errors


def test_a_certificate_that_is_not_there_is_named(register, tmp_path):
    """In one line, with exit code 1."""
    code, _, errors = register("--id", "dev-1", "--certificate", tmp_path / "none.pem")

    assert code == 1
    assert "No such file" in errors


def test_a_service_that_is_not_there_is_named(register):
    """In one line, with exit code 1."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    code, _, errors = register("--id", "a", "--key", "a2V5", dps=f"http://127.0.0.1:{port}")

    assert code == 1
    assert f"127.0.0.1:{port}" in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"operationId": "1"}'])
def test_an_answer_that_is_no_registration_is_said_to_be_none(yard, register, body):
    """Not a traceback."""
    fault = {"do": {"status": 202, "body": body}}
    yard.owner.put("/_faults", json=[fault])

    code, _, errors = register("--id", "dev-1", "--key", "a2V5")

    assert (code, errors) == (1, "The service answers something that is no registration\n")


def test_it_runs_as_a_process_and_finds_the_stand_in_by_its_port(yard, process):
    """DPS_PORT names it; the id scope is the stand-in's."""
    key = yard.individual().key

    ended = process("register", "--id", "dev-1", "--key", key, DPS_PORT=str(yard.dps.port))

    assert (ended.returncode, ended.stderr) == (0, "")
    assert state_in(ended.stdout)["status"] == "assigned"


def test_a_garbled_environment_is_named(process):
    """The variable and what it holds."""
    ended = process("register", "--id", "dev-1", "--key", "a2V5", DPS_PORT="http")

    assert ended.returncode == 1
    assert ended.stderr == "DPS_PORT must be a port between 0 and 65535, not 'http'\n"


def test_a_trusted_certificate_is_verified(yard, register, tmp_path):
    """Once there is something to trust, loopback is no excuse."""
    stranger = tmp_path / "stranger.pem"
    stranger.write_text(self_signed("127.0.0.1", ca=True).pem)

    code, _, errors = register(
        "--id", "dev-1", "--key", "a2V5", "--trust", stranger, dps=yard.dps.tls_url
    )

    assert code == 1
    assert "certificate verify failed" in errors
