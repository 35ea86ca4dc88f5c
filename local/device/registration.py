"""The registration of a device: asked for once, then asked about until it is over."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from local.device.identity import Identity

API_VERSION: Final = "2021-06-01"
# When the service does not say how long to wait, what it usually says.
USUAL_WAIT_SECONDS: Final = 3.0

State = Mapping[str, Any]


class RefusedError(Exception):
    """The service answered something other than a registration; the text is for a person."""


@dataclass(frozen=True)
class Step:
    """One answer on the way."""

    operation_id: str
    status: str
    state: State
    wait_seconds: float
    remark: str | None  # what a stand-in has to say about itself


@dataclass(frozen=True, kw_only=True)
class Registration:
    """One device at one service; `say` is told each step."""

    session: aiohttp.ClientSession
    url: str
    identity: Identity
    say: Callable[[str], None]

    async def run(self, payload: Any = None) -> State:
        """The final registration state; RefusedError if there is none."""
        body = self.identity.document(payload)
        step = await self._ask("PUT", "register", body)
        while step.status == "assigning":
            await asyncio.sleep(step.wait_seconds)
            step = await self._ask("GET", f"operations/{step.operation_id}")
        return step.state or {"status": step.status}

    async def _ask(self, method: str, path: str, body: Any = None) -> Step:
        url = f"{self.url.rstrip('/')}/{self.identity.path}/{path}?api-version={API_VERSION}"
        headers = self.identity.headers()
        async with self.session.request(method, url, json=body, headers=headers) as reply:
            text = await reply.text()
        self.say(f"{method} {path}: {reply.status}")
        if not reply.ok:
            raise RefusedError(_refusal(reply.status, text))
        step = _step(text, reply.headers)
        is_over = step.status != "assigning"
        self.say(f"  {step.status}" + ("" if is_over else f", ask in {step.wait_seconds:g} s"))
        if step.remark:
            self.say(f"  {step.remark}")
        return step


def _step(text: str, headers: Mapping[str, str]) -> Step:
    try:
        document = json.loads(text)
        return Step(
            operation_id=str(document["operationId"]),
            status=str(document["status"]),
            state=document.get("registrationState") or {},
            wait_seconds=_seconds(headers.get("Retry-After")),
            remark=headers.get("x-local-dps"),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RefusedError("The service answers something that is no registration") from error


def _refusal(status: int, text: str) -> str:
    """Code and words if the body has them; nothing else of it, for nobody knows what it holds."""
    try:
        document = json.loads(text)
        return f"refused with {status}: {document['errorCode']} {document['message']}"
    except (ValueError, TypeError, KeyError):
        return f"refused with {status}"


def _seconds(header: str | None) -> float:
    return float(header) if header and header.isdecimal() else USUAL_WAIT_SECONDS
