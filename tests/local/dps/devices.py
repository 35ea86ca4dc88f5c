"""Devices, the enrollments they register through, and custom allocation webhooks."""

import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from aiohttp import web

from local.dps import DpsStandIn, Options
from local.dps.derived_keys import derived_key
from tests.local.dps.calls import NO_TLS, signature
from tests.secret_factory import symmetric_key

SCOPE = Options().id_scope
HUBS = Options().linked_hubs
# Options with which devices poll, and webhooks are retried, almost at once.
FAST: Final[dict[str, Any]] = {"retry_after_seconds": 0, "retry_scale": 0.0001}


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device with at most one proof: a symmetric key, a TPM or a certificate in `tls`."""

    dps: DpsStandIn
    id: str
    key: str = ""
    tpm: Mapping[str, str] | None = None
    tls: ssl.SSLContext | None = None
    scope: str = SCOPE
    headers: Mapping[str, str] = field(default_factory=dict)
    api_version: str = "2021-06-01"

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Sends a request to `path` below the registration of the device."""
        base = self.dps.tls_url if self.tls else self.dps.url
        headers = {**self._authorization(), **self.headers, **request.pop("headers", {})}
        with httpx.Client(verify=self.tls or NO_TLS, base_url=base, timeout=20) as client:
            return client.request(
                method,
                f"/{self.scope}/registrations/{self.id}{path}",
                params={"api-version": self.api_version},
                headers=headers,
                **request,
            )

    def put(self, **members: Any) -> httpx.Response:
        """Returns the response to a registration request."""
        tpm = {"tpm": self.tpm} if self.tpm else {}
        return self.send("PUT", "/register", json={"registrationId": self.id} | tpm | members)

    def poll(self, operation_id: str) -> httpx.Response:
        """Returns the response to one poll of an operation."""
        return self.send("GET", f"/operations/{operation_id}")

    def finish(self, operation_id: str) -> dict[str, Any]:
        """Polls until the operation is finished, for ten seconds at most, and returns it."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            response = self.poll(operation_id)
            if response.status_code != 202:
                return dict(response.raise_for_status().json())
            time.sleep(0.005)
        raise TimeoutError(operation_id)

    def register(self, **members: Any) -> dict[str, Any]:
        """Registers the device and returns its final registration state."""
        response = self.put(**members).raise_for_status()
        return dict(self.finish(response.json()["operationId"])["registrationState"])

    def _authorization(self) -> dict[str, str]:
        if not self.key:
            return {}
        resource = f"{self.scope}/registrations/{self.id}"
        expiry = int(time.time()) + 60
        return {
            "Authorization": signature(resource, key=self.key, name="registration", expiry=expiry)
        }


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """A stand-in, a client of its service API, and the devices enrolled through it."""

    dps: DpsStandIn
    client: httpx.Client

    def device(self, id_: str = "dev-1", **proof: Any) -> Device:
        """Returns a device; nothing is enrolled."""
        return Device(dps=self.dps, id=id_, **proof)

    def enroll(self, id_: str = "dev-1", **members: Any) -> Device:
        """Creates an individual enrollment with symmetric keys and returns its device."""
        attestation = keys(symmetric_key())
        self.put(
            f"/enrollments/{id_}", {"registrationId": id_, "attestation": attestation} | members
        )
        return self.device(id_, key=attestation["symmetricKey"]["primaryKey"])

    def enroll_group(self, id_: str = "dev-1", **members: Any) -> Device:
        """Creates group-1 with symmetric keys and returns a device of it."""
        key = symmetric_key()
        document = {"enrollmentGroupId": "group-1", "attestation": keys(key)} | members
        self.put("/enrollmentGroups/group-1", document)
        return self.device(id_, key=derived_key(key, id_))

    def keys_of(self, path: str) -> list[str]:
        """Returns the symmetric keys of the record at `path`, the primary one first."""
        attestation = self.client.post(f"{path}/attestationmechanism").raise_for_status().json()
        return [attestation["symmetricKey"][name] for name in ("primaryKey", "secondaryKey")]

    def put(self, path: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """Creates or replaces a record and returns it."""
        exists = self.client.get(path).status_code == 200
        headers = {"If-Match": "*"} if exists else {}
        return dict(self.client.put(path, json=document, headers=headers).raise_for_status().json())

    def change(self, path: str, **members: Any) -> None:
        """Changes members of a record, which keeps its keys."""
        self.put(path, self.client.get(path).json() | members)

    def registration(self, id_: str = "dev-1") -> dict[str, Any]:
        """Returns the registration state from the service API."""
        return dict(self.client.get(f"/registrations/{id_}").raise_for_status().json())

    def hub_devices(self) -> list[dict[str, Any]]:
        """Returns the devices in the hubs."""
        return list(self.client.get("/_devices").json())


# Starts a stand-in with the given options.
StartFleet = Callable[..., Fleet]


def keys(primary: str) -> dict[str, Any]:
    """Returns a symmetric key attestation with a new secondary key."""
    pair = {"primaryKey": primary, "secondaryKey": symmetric_key()}
    return {"type": "symmetricKey", "symmetricKey": pair}


def custom(url: str) -> dict[str, Any]:
    """Returns the members of an enrollment with custom allocation."""
    definition = {"webhookUrl": url, "apiVersion": "2021-10-01"}
    return {"allocationPolicy": "custom", "customAllocationDefinition": definition}


Answer = Callable[[dict[str, Any]], web.Response | Awaitable[web.Response]]


class Webhook:
    """A webhook that records requests; it sends its answers in order, and repeats the last one."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[dict[str, Any]] = []
        self.urls: list[str] = []
        self.content_types: list[str] = []

    async def start(self) -> None:
        application = web.Application()
        application.router.add_post("/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()

    async def stop(self) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """The URL with a function key."""
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/api/allocate?code=secret"

    def answer_with(self, *answers: Answer) -> None:
        """Replaces the answers."""
        self.answers = list(answers)

    async def _handle(self, request: web.Request) -> web.Response:
        self.requests.append(await request.json())
        self.urls.append(str(request.url))
        self.content_types.append(request.headers["Content-Type"])
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        response = answer(self.requests[-1])
        return await response if isinstance(response, Awaitable) else response


def status(number: int) -> Answer:
    """Returns an answer with a status and no body."""
    return lambda _: web.Response(status=number)


def json_answer(**body: Any) -> Answer:
    """Returns an answer with this JSON object."""
    return lambda _: web.json_response(body)


def to_hub(number: int, **more: Any) -> Answer:
    """Returns an answer that chooses one of the linked hubs, counted from 1."""
    return json_answer(iotHubHostName=HUBS[number - 1], **more)
