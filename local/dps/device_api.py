"""The operations of the device API: register, and ask what has become of it.

D: the REST specification's RuntimeRegistration; R: the answers in iot-dps-https-sym-key-support.
"""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from local.dps.attested import Attested
from local.dps.device_authentication import DeviceAuthentication
from local.dps.errors import Refused
from local.dps.options import Options
from local.dps.provisioning import Provisioning, RegistrationOperation, device_view
from local.dps.records import Records
from local.dps.registrations import show
from local.dps.replies import Call, Reply
from local.dps.routing import Operation
from local.dps.rules import ID, INVALID, INVALID_ID, NO_OPERATION

REGISTRATION: Final = "{scope}/registrations/{id}"
# Said with every answer to a device with a TPM, lest anybody take it for a proof.
BELIEVED: Final = {"x-local-dps": "the TPM challenge is not done: the endorsement key is believed"}


@dataclass(frozen=True, kw_only=True)
class DeviceApi:
    """Register, operation status, registration."""

    options: Options
    authentication: DeviceAuthentication
    provisioning: Provisioning
    registrations: Records

    def operations(self) -> Iterator[Operation]:
        """All three; D: of these, only registering has a quota that counts all devices."""
        status = f"{REGISTRATION}/operations/{{operation_id}}"
        yield Operation(
            name="device.register",
            method="PUT",
            path=f"{REGISTRATION}/register",
            quota="registrations",
            run=_with_request_id(self.register),
        )
        for name, method, path, run in (
            ("operationStatus", "GET", status, self.operation_status),
            ("registration", "POST", REGISTRATION, self.registration),
        ):
            yield Operation(
                name=f"device.{name}",
                method=method,
                path=path,
                quota=None,
                run=_with_request_id(run),
            )

    def register(self, call: Call) -> Reply:
        """R: 202 at once; the device polls for the rest."""
        document = _document(call)
        device = self.authentication.check(call, document.get("tpm"))
        operation = self.provisioning.begin(device, document.get("payload"))
        # R: this very path, though it is not the one to poll.
        path = f"{call.scope}/registrations/{quote(call.id, safe='')}/register"
        headers = self._wait() | {"Location": f"{call.origin}/{path}"} | _remark(device)
        return Reply(202, {"operationId": operation.id, "status": "assigning"}, headers)

    def operation_status(self, call: Call) -> Reply:
        """202 while it is assigning, 200 however it has ended (D)."""
        operation = self._operation(call)
        body = {
            "operationId": operation.id,
            "status": operation.status,
            "registrationState": operation.state,
        }
        if operation.is_over:
            return Reply(200, body, _remark(operation.device))
        return Reply(202, body, self._wait() | _remark(operation.device))

    def registration(self, call: Call) -> Reply:
        """D: 200 with the registration state; ?: 404 for a device that never registered."""
        device = self.authentication.check(call, _document(call).get("tpm"))
        state = show(self.registrations.get(device.registration_id))
        return Reply(200, device_view(device, state), _remark(device))

    def _operation(self, call: Call) -> RegistrationOperation:
        operation = self.provisioning.find(call.operation_id, call.id)
        # Without the challenge a device with a TPM cannot sign; it knows the id of its operation.
        if operation is None or operation.device.attestation != "tpm":
            self.authentication.check(call)
        if operation is None:
            raise Refused(NO_OPERATION)
        return operation

    def _wait(self) -> dict[str, str]:
        return {"Retry-After": str(self.options.retry_after_seconds)}


def _document(call: Call) -> dict[str, Any]:
    """The body; ?: it may be missing, or the id in it; another id than the path's is refused."""
    document = call.document if call.body else {}
    id_ = document.get("registrationId", call.id)
    if not ID.fullmatch(call.id) or not isinstance(id_, str) or id_.lower() != call.id.lower():
        raise Refused(INVALID, INVALID_ID["registrationId"])
    tpm = document.get("tpm")
    if tpm is not None and not _is_tpm(tpm):
        raise Refused(INVALID, "The endorsementKey of a TPM is required")
    return document


def _is_tpm(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("endorsementKey"), str)


def _remark(device: Attested) -> dict[str, str]:
    return BELIEVED if device.attestation == "tpm" else {}


def _with_request_id(run: Callable[[Call], Reply]) -> Callable[[Call], Reply]:
    """R: unlike the service API, the device API numbers its answers; ?: refusals as well."""

    def numbered(call: Call) -> Reply:
        number = {"x-ms-request-id": str(uuid.uuid4())}
        try:
            reply = run(call)
        except Refused as refused:
            refused.headers |= number
            raise
        return Reply(reply.status, reply.body, {**reply.headers, **number})

    return numbered
