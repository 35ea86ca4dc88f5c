"""The webhook of a custom allocation: called, called again, and understood.

D: concepts-custom-allocation and tutorial-custom-allocation-policies, for what each status means.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from local.dps.allocation import Allocation, NotAllocated
from local.dps.errors import Refused
from local.dps.options import Options
from local.dps.replies import json_object
from local.dps.rules import (
    ALLOCATION_FAILED,
    ALLOCATION_UNAUTHORIZED,
    FIRST_RETRY_SECONDS,
    HUB_NOT_LINKED,
    HUB_NOT_SPECIFIED,
    NO_ANSWER,
    RETRIES,
    RETRY_FROM,
    RETRY_INCREMENT_SECONDS,
)

FAILURES: Final = {401: ALLOCATION_UNAUTHORIZED}  # any other status: ALLOCATION_FAILED
AT_ONCE: Final = 100  # calls; ?: how many DPS makes at a time

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What a webhook said."""

    status: int
    body: bytes


class CustomAllocation:
    """Asks webhooks where a device goes; to be closed on the loop that it was used on."""

    def __init__(self, options: Options) -> None:
        self._scale = options.retry_scale
        # ?: no limit is documented.
        self._timeout = aiohttp.ClientTimeout(total=options.webhook_seconds)
        self._free = asyncio.Semaphore(AT_ONCE)
        self._session: aiohttp.ClientSession | None = None

    async def allocate(self, url: str, request: Mapping[str, Any]) -> Allocation:
        """The webhook's decision; NotAllocated if it makes none that can be used."""
        answer = await self._persist(url, request)
        if answer is None:
            raise NotAllocated(*NO_ANSWER)
        if answer.status == 200:  # noqa: PLR2004 - D: this one and no other
            return _decision(answer.body, request["linkedHubs"])
        code, words = FAILURES.get(answer.status, ALLOCATION_FAILED)
        raise NotAllocated(code, words.format(answer.status))

    async def close(self) -> None:
        """Gives back the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _persist(self, url: str, request: Mapping[str, Any]) -> Answer | None:
        """The first answer that is not one to try again after (D), or the last."""
        answer = await self._post(url, request)
        for retry in range(RETRIES):
            if answer is not None and answer.status < RETRY_FROM:
                break
            seconds = (FIRST_RETRY_SECONDS + retry * RETRY_INCREMENT_SECONDS) * self._scale
            said = "nothing" if answer is None else answer.status
            _log.info("a webhook answers %s and is called again in %.1f s", said, seconds)
            await asyncio.sleep(seconds)
            answer = await self._post(url, request)
        return answer

    async def _post(self, url: str, request: Mapping[str, Any]) -> Answer | None:
        """?: content type; a redirect is not followed; silence is as good as a 5xx."""
        session = self._session = self._session or aiohttp.ClientSession(timeout=self._timeout)
        try:
            async with self._free, session.post(url, json=request, allow_redirects=False) as reply:
                return Answer(reply.status, await reply.read())
        except (aiohttp.ClientError, OSError, ValueError):  # a timeout is an OSError
            return None


def _decision(body: bytes, linked_hubs: Sequence[str]) -> Allocation:
    """D: 400208 for an answer without a hub; ?: as well for one that cannot be read."""
    try:
        answer = json_object(body)
    except Refused:
        answer = {}
    named = answer.get("iotHubHostName")
    if not isinstance(named, str) or not named:
        raise NotAllocated(*HUB_NOT_SPECIFIED)
    hub = next((hub for hub in linked_hubs if hub.lower() == named.lower()), None)
    if hub is None:
        raise NotAllocated(*HUB_NOT_LINKED)
    twin = answer.get("initialTwin")
    # ?: a twin that is no object is none.
    initial_twin = twin if isinstance(twin, dict) else None
    return Allocation(hub=hub, initial_twin=initial_twin, payload=answer.get("payload"))
