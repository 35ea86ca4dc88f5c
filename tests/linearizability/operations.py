"""Operations on a few records over HTTP: planned at random, sent, and kept with their answers."""

import random
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.shared.dps.documents import enrollment

IDS = tuple(f"dev-{number}" for number in range(16))
CREATE, REPLACE, PATCH, DELETE, UPSERT = "create", "replace", "patch", "delete", "upsert"

_KEPT_ETAGS = 4
# Operation, weight.
_WEIGHTS = {CREATE: 5, REPLACE: 5, PATCH: 4, DELETE: 3, UPSERT: 2}
_BULK_SHARE = 0.25
_BULK_MODES = {CREATE: "create", REPLACE: "updateIfMatchETag", DELETE: "delete", UPSERT: "upsert"}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the app answered for one record: an HTTP status, a code unless it succeeded, and its etag."""

    status: int
    code: int | None = None
    etag: str | None = None

    @property
    def is_success(self) -> bool:
        """Whether the answer is that the write was applied."""
        return self.code is None and self.status < 300


@dataclass(kw_only=True)
class Operation:
    """One operation on one record; `end` and `answer` are set when it is answered."""

    kind: str
    id: str
    request_id: str
    if_match: str | None = None
    is_bulk: bool = False
    start: float = 0.0
    end: float = 0.0
    answer: Answer = field(default_factory=lambda: Answer(status=0))

    @property
    def document(self) -> dict[str, Any]:
        """The record; `deviceId` shows which operation wrote it."""
        return enrollment(self.id, deviceId=self.request_id)


class KnownEtags:
    """The latest etags of each record that any answer had."""

    def __init__(self) -> None:
        self._etags: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=_KEPT_ETAGS))

    def add(self, id: str, etag: str | None) -> None:
        """Adds the etag of an answer."""
        if etag:
            self._etags[id].append(etag)

    def choose(self, id: str, rng: random.Random) -> str | None:
        """Returns the latest one, now and then an older one; `None` if none is known."""
        etags = self._etags[id]
        if not etags:
            return None
        return rng.choice(etags) if rng.random() < 0.2 else etags[-1]


class Writer:
    """A writer over HTTP: plans operations, sends each, and keeps it with its answer."""

    def __init__(self, app: httpx.AsyncClient, name: str, etags: KnownEtags, seed: str) -> None:
        self._app = app
        self._name = name
        self._etags = etags
        self._rng = random.Random(seed)  # noqa: S311  repeatable on purpose
        self.operations: list[Operation] = []

    async def run(self, count: int) -> None:
        """Sends at least `count` operations, one request after the other."""
        while len(self.operations) < count:
            kind = self._rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
            is_bulk = kind == UPSERT or (kind in _BULK_MODES and self._rng.random() < _BULK_SHARE)
            number = self._rng.randint(1, 3) if is_bulk else 1
            request_id = f"{self._name}-{len(self.operations)}"
            operations = [
                self._plan(kind, id, request_id, is_bulk=is_bulk)
                for id in self._rng.sample(IDS, number)
            ]
            start = time.monotonic()
            answers = await (self._send_bulk if is_bulk else self._send)(operations)
            end = time.monotonic()
            for operation in operations:
                operation.start, operation.end = start, end
                operation.answer = answers[operation.id]
                self._etags.add(operation.id, operation.answer.etag)
            self.operations += operations

    def _plan(self, kind: str, id: str, request_id: str, *, is_bulk: bool) -> Operation:
        known = self._etags.choose(id, self._rng)
        any_etag = None if kind == DELETE and self._rng.random() < 0.5 else "*"
        if_match = {
            CREATE: None,
            UPSERT: None,
            PATCH: known if self._rng.random() < 0.4 else None,
            REPLACE: known if known and self._rng.random() < 0.7 else "*",
            # The bulk mode compares no etag.
            DELETE: known if known and self._rng.random() < 0.5 and not is_bulk else any_etag,
        }[kind]
        return Operation(
            kind=kind, id=id, request_id=request_id, if_match=if_match, is_bulk=is_bulk
        )

    async def _send(self, operations: list[Operation]) -> dict[str, Answer]:
        (operation,) = operations
        method = {PATCH: "PATCH", DELETE: "DELETE"}.get(operation.kind, "PUT")
        body = {"deviceId": operation.request_id} if method == "PATCH" else operation.document
        headers = {"x-ms-client-request-id": operation.request_id}
        if operation.if_match:
            headers["If-Match"] = operation.if_match
        response = await self._app.request(
            method,
            f"/enrollments/{operation.id}",
            headers=headers,
            json=None if method == "DELETE" else body,
        )
        content: Mapping[str, Any] = response.json() if response.content else {}
        return {operation.id: _read_answer(response.status_code, content)}

    async def _send_bulk(self, operations: list[Operation]) -> dict[str, Answer]:
        records = [
            operation.document | ({"etag": operation.if_match} if operation.if_match else {})
            for operation in operations
        ]
        response = await self._app.post(
            "/enrollments",
            headers={"x-ms-client-request-id": operations[0].request_id},
            json={"mode": _BULK_MODES[operations[0].kind], "enrollments": records},
        )
        content = response.json()
        if response.status_code != httpx.codes.OK:
            whole = _read_answer(response.status_code, content)
            return dict.fromkeys((operation.id for operation in operations), whole)
        errors = {error["registrationId"]: error["errorCode"] for error in content["errors"]}
        return {
            operation.id: Answer(status=200, code=errors.get(operation.id))
            for operation in operations
        }


def _read_answer(status: int, content: Mapping[str, Any]) -> Answer:
    return Answer(status=status, code=content.get("errorCode"), etag=content.get("etag"))
