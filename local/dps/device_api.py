"""
The device API: register, get the operation status, get the registration.

Documented: RuntimeRegistration in the REST API specification. Recorded: the responses, in
iot-dps-https-sym-key-support.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from local.dps.api_versions import issues_certificates
from local.dps.device_authentication import AuthenticatedDevice, DeviceAuthentication
from local.dps.documents import show_registration
from local.dps.errors import INVALID_REQUEST, OPERATION_NOT_FOUND, ApiError
from local.dps.issuing import read_signing_request
from local.dps.operations import Call, Operation, QuotaName, Response
from local.dps.options import Options
from local.dps.provisioning import Provisioning, RegistrationOperation, device_view
from local.dps.records import REGISTRATIONS, Records, is_valid_id

# Sent to every device with a TPM, because its registration proves nothing about its key.
TPM_REMARK: Final = {
    "x-local-dps": "the TPM challenge is not implemented: the endorsement key is trusted"
}


@dataclass(frozen=True, kw_only=True)
class DeviceApi:
    """The operations of the device API."""

    options: Options
    authentication: DeviceAuthentication
    provisioning: Provisioning
    registrations: Records

    def operations(self) -> Iterator[Operation]:
        """Yields the operations. Assumed: reading the registration counts against no quota."""
        path = "{scope}/registrations/{id}"
        status_path = f"{path}/operations/{{operation_id}}"
        rows: tuple[tuple[str, str, str, QuotaName | None, Callable[[Call], Response]], ...] = (
            ("register", "PUT", f"{path}/register", "registrations", self.register),
            ("operationStatus", "GET", status_path, "polls", self.get_operation_status),
            ("registration", "POST", path, None, self.get_registration),
        )
        for name, method, operation_path, quota, run in rows:
            yield Operation(
                name=f"device.{name}",
                method=method,
                path=operation_path,
                quota=quota,
                run=_with_request_id(run),
            )

    def register(self, call: Call) -> Response:
        """Starts a registration. Recorded: 202 at once; the device polls for the result."""
        document = _read_document(call)
        device = self.authentication.check(call, document.get("tpm"))
        csr = _csr(call, document)
        request = None if csr is None else read_signing_request(csr, device.registration_id)
        operation = self.provisioning.start(device, document.get("payload"), request)
        # Recorded: the path of this request, although it is not the one to poll.
        path = f"{call.scope}/registrations/{quote(call.id, safe='')}/register"
        headers = self._retry_after() | {"Location": f"{call.origin}/{path}"} | _remark(device)
        return Response(202, {"operationId": operation.id, "status": "assigning"}, headers)

    def get_operation_status(self, call: Call) -> Response:
        """Returns the status. Documented: 202 while assigning, then 200, also if it failed."""
        operation = self._find_operation(call)
        chain = operation.issued_certificates if issues_certificates(call.api_version) else []
        issued = {"issuedCertificateChain": chain} if chain else {}
        body = {
            "operationId": operation.id,
            "status": operation.status,
            "registrationState": {**operation.state, **issued},
        }
        if operation.is_finished:
            return Response(200, body, _remark(operation.device))
        return Response(202, body, self._retry_after() | _remark(operation.device))

    def get_registration(self, call: Call) -> Response:
        """
        Returns the state (200: documented), without an issued certificate.

        Documented: a `csr` is an error 400. Assumed: 404 for a device that never registered.
        """
        document = _read_document(call)
        if _csr(call, document) is not None:
            raise ApiError(INVALID_REQUEST, "Invalid Csr")
        device = self.authentication.check(call, document.get("tpm"))
        state = show_registration(self.registrations.get(device.registration_id))
        return Response(200, device_view(device, state), _remark(device))

    def _find_operation(self, call: Call) -> RegistrationOperation:
        operation = self.provisioning.find(call.operation_id, call.id)
        # Without the challenge, a device with a TPM cannot sign: the operation id has to suffice.
        if operation is None or operation.device.attestation_type != "tpm":
            self.authentication.check(call)
        if operation is None:
            raise ApiError(OPERATION_NOT_FOUND)
        return operation

    def _retry_after(self) -> dict[str, str]:
        return {"Retry-After": str(self.options.retry_after_seconds)}


def _read_document(call: Call) -> dict[str, Any]:
    """
    Returns the body, {} if it is empty.

    Raises ApiError 400 unless the id is that of the path. Assumed: the body may omit it.
    """
    document = call.document if call.body else {}
    id_ = document.get("registrationId", call.id)
    if not is_valid_id(call.id) or not isinstance(id_, str) or id_.lower() != call.id.lower():
        raise ApiError(INVALID_REQUEST, REGISTRATIONS.invalid_id)
    tpm = document.get("tpm")
    if tpm is not None and not _is_tpm(tpm):
        raise ApiError(INVALID_REQUEST, "The endorsementKey of a TPM is required")
    return document


def _is_tpm(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("endorsementKey"), str)


def _csr(call: Call, document: Mapping[str, Any]) -> Any:
    """Returns the certificate signing request. Assumed: versions that have none ignore it."""
    return document.get("csr") if issues_certificates(call.api_version) else None


def _remark(device: AuthenticatedDevice) -> dict[str, str]:
    return TPM_REMARK if device.attestation_type == "tpm" else {}


def _with_request_id(run: Callable[[Call], Response]) -> Callable[[Call], Response]:
    """
    Adds an x-ms-request-id to the responses of `run`.

    Recorded: only the device API sends one. Assumed: also with errors.
    """

    def run_with_request_id(call: Call) -> Response:
        request_id = {"x-ms-request-id": str(uuid.uuid4())}
        try:
            response = run(call)
        except ApiError as error:
            error.headers |= request_id
            raise
        return Response(response.status, response.body, {**response.headers, **request_id})

    return run_with_request_id
