"""Devices, the hubs they land in, and the webhooks that send them there."""

import base64
import hashlib
import hmac
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from aiohttp import web

from local.dps import DpsStandIn, Options
from tests.local.dps.calls import NO_TLS, signature
from tests.secret_factory import symmetric_key

SCOPE = Options().id_scope
HUBS = Options().linked_hubs
DEVICE_API_VERSION = "2021-06-01"


def derive(group_key: str, registration_id: str) -> str:
    """A device's key, written down from the documentation, not from the stand-in."""
    text = registration_id.encode()
    return base64.b64encode(hmac.digest(base64.b64decode(group_key), text, hashlib.sha256)).decode()


@dataclass(frozen=True, kw_only=True)
class Device:
    """One device; what it is not given it does not show."""

    dps: DpsStandIn
    id: str
    key: str | None = None
    tpm: Mapping[str, str] | None = None
    tls: ssl.SSLContext | None = None
    scope: str = SCOPE
    headers: Mapping[str, str] = field(default_factory=dict)
    api_version: str = DEVICE_API_VERSION

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """A request to the device's own path."""
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
        """The answer to a registration."""
        tpm = {"tpm": self.tpm} if self.tpm else {}
        return self.send("PUT", "/register", json={"registrationId": self.id} | tpm | members)

    def poll(self, operation_id: str) -> httpx.Response:
        """The answer to a question for an operation."""
        return self.send("GET", f"/operations/{operation_id}")

    def finish(self, operation_id: str) -> dict[str, Any]:
        """The final answer of an operation; it must come within ten seconds."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            reply = self.poll(operation_id)
            if reply.status_code != 202:
                return dict(reply.raise_for_status().json())
            time.sleep(0.005)
        raise TimeoutError(operation_id)

    def register(self, **members: Any) -> dict[str, Any]:
        """The final registration state."""
        reply = self.put(**members).raise_for_status()
        return dict(self.finish(reply.json()["operationId"])["registrationState"])

    def _authorization(self) -> dict[str, str]:
        if self.key is None:
            return {}
        resource = f"{self.scope}/registrations/{self.id}"
        expiry = int(time.time()) + 60
        return {
            "Authorization": signature(resource, key=self.key, name="registration", expiry=expiry)
        }


@dataclass(frozen=True, kw_only=True)
class Yard:
    """A stand-in and its owner: where enrollments are made, and devices for them."""

    dps: DpsStandIn
    owner: httpx.Client

    def individual(self, id_: str = "dev-1", **members: Any) -> Device:
        """A device with an enrollment of its own, and a symmetric key."""
        key = symmetric_key()
        document = {"registrationId": id_, "attestation": keys(key)} | members
        self.put(f"/enrollments/{id_}", document)
        return Device(dps=self.dps, id=id_, key=key)

    def member(self, id_: str = "dev-1", *, group: str = "group-1", **members: Any) -> Device:
        """A device of a group with symmetric keys."""
        key = symmetric_key()
        document = {"enrollmentGroupId": group, "attestation": keys(key)} | members
        self.put(f"/enrollmentGroups/{group}", document)
        return Device(dps=self.dps, id=id_, key=derive(key, id_))

    def put(self, path: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """Writes a document, anew or over the one that is there."""
        there = self.owner.get(path).status_code == 200
        headers = {"If-Match": "*"} if there else {}
        return dict(self.owner.put(path, json=document, headers=headers).raise_for_status().json())

    def change(self, path: str, **members: Any) -> None:
        """Changes members of what is there; its keys stay."""
        self.put(path, self.owner.get(path).json() | members)

    def registration(self, id_: str = "dev-1") -> dict[str, Any]:
        """The registration state that the service API answers."""
        return dict(self.owner.get(f"/registrations/{id_}").raise_for_status().json())

    def landed(self) -> list[dict[str, Any]]:
        """The devices that the hubs hold."""
        return list(self.owner.get("/_devices").json())


def keys(primary: str) -> dict[str, Any]:
    """A symmetric key attestation; its second key is another."""
    pair = {"primaryKey": primary, "secondaryKey": symmetric_key()}
    return {"type": "symmetricKey", "symmetricKey": pair}


def custom(url: str) -> dict[str, Any]:
    """The members that leave the choice of the hub to a webhook."""
    definition = {"webhookUrl": url, "apiVersion": "2021-10-01"}
    return {"allocationPolicy": "custom", "customAllocationDefinition": definition}


Answer = Callable[[dict[str, Any]], web.Response | Awaitable[web.Response]]


class Webhook:
    """Remembers what it is asked, and answers one after the other, the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[dict[str, Any]] = []
        self.urls: list[str] = []
        self.content_types: list[str] = []

    async def start(self) -> None:
        application = web.Application()
        application.router.add_post("/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()

    async def stop(self) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """With a function key, as DPS needs it."""
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/api/allocate?code=secret"

    def will(self, *answers: Answer) -> None:
        """Says what it answers from now on."""
        self.answers = list(answers)

    async def _answer(self, request: web.Request) -> web.Response:
        self.requests.append(await request.json())
        self.urls.append(str(request.url))
        self.content_types.append(request.headers["Content-Type"])
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        answered = answer(self.requests[-1])
        return await answered if isinstance(answered, Awaitable) else answered


def status(number: int) -> Answer:
    """An answer that is a mere status."""
    return lambda _: web.Response(status=number)


def says(**body: Any) -> Answer:
    """A good answer."""
    return lambda _: web.json_response(body)


def to_hub(number: int, **more: Any) -> Answer:
    """The choice of one of the stand-in's hubs, counted from 1."""
    return says(iotHubHostName=HUBS[number - 1], **more)
