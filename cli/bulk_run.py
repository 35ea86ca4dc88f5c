"""
A run of `apply`: the rows of a table as bulk requests, several at once, until each has its outcome.

A row whose response was lost is sent again. If that fails, the stored record shows which of the
attempts took effect, before the row is called failed.
"""

import asyncio
import json
import re
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from cli.client import AppClient, faults_in, parse_result, retry_delay
from cli.errors import AppError, CallError, CallFailedError, CallRefusedError, CommandError
from cli.keys import KeyFile
from cli.state import Failure, StateFile, Status
from cli.stored import (
    CONCURRENT_READS,
    document_for_update,
    find_stored,
    has_keys,
    has_stored_keys,
    is_stored,
)
from shared.dps.models import BulkMode, RecordKind

REQUESTS_AT_ONCE = 4
MAX_ROWS = 500
"""The rows of a request: the app sends them to DPS ten a call, within seconds."""
_MIN_ROWS = 10
_MAX_BYTES = 8 << 20
_REQUESTS_PER_RUN = 20

_CONFLICT = 409
_ETAG_MISMATCH = {409, 412}
_REPORT_AFTER = 3
"""After how many failed calls in a row the reason is reported."""
_UNKNOWN_OUTCOME, _INTERNAL_ERROR = 503004, 500001
_RETRIED = {429, 500, 502, 503, 504}
_MAX_SERVER_ERRORS = 3
"""How often a single row may make the app fail before it is called failed."""


@dataclass(kw_only=True, slots=True)
class Item:
    """A row to apply; `body` is its record as JSON, with keys."""

    number: int
    id: str
    body: bytes = field(repr=False)
    in_doubt: bool = False
    has_new_keys: bool = False
    """Whether its keys were made by this run: a record of someone else's cannot have them."""
    error: Failure | None = None
    server_errors: int = 0

    @property
    def document(self) -> dict[str, Any]:
        """The record."""
        document: dict[str, Any] = json.loads(self.body)
        return document


class NoProgressError(AppError):
    """The app or DPS has been unavailable for too long."""


Rows = Iterator[tuple[int, str, dict[str, Any]]]
"""Number, id and record of rows."""


class BulkRun:
    """
    Applies the rows that `rows` yields, those without outcome.

    `on_progress` is called after each change, `on_wait` with the reason when calls keep failing. The
    state file has every outcome.
    """

    def __init__(
        self,
        client: AppClient,
        state: StateFile,
        *,
        kind: RecordKind,
        mode: BulkMode,
        rows: Rows,
        total: int,
        keys: KeyFile | None = None,
        on_progress: Callable[[], None],
        on_wait: Callable[[str], None],
    ) -> None:
        self._client = client
        self._state = state
        self._kind = kind
        self._mode = mode
        self._rows = rows
        self._keys = keys
        self._on_progress = on_progress
        self._on_wait = on_wait
        self._full_size = max(_MIN_ROWS, min(MAX_ROWS, -(-total // _REQUESTS_PER_RUN)))
        if mode == BulkMode.UPDATE_IF_MATCH_ETAG:
            self._full_size = CONCURRENT_READS  # the keys of each record are read first
        self._size = self._full_size
        self._waiting: deque[Item] = deque()
        self._unreconciled: list[Item] = []
        self._in_flight = 0
        self._attempt = 0
        self._resume_at = 0.0
        self._last_success = time.monotonic()
        self._error: Exception | None = None
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Starts no further request; `run` returns when those in flight have ended."""
        self._stopping.set()
        self._client.stopping.set()
        self._changed.set()

    async def run(self) -> None:
        """
        Applies all rows, or as many as there is time for after `stop`.

        Raises `NoProgressError` after a long time without success, and `CallRefusedError` if the
        app refuses the caller.
        """
        while True:
            async with asyncio.TaskGroup() as workers:
                for _ in range(REQUESTS_AT_ONCE):
                    workers.create_task(self._work())
            if self._error:
                raise self._error
            if self._stopping.is_set() or not self._unreconciled:
                return
            try:
                await self._reconcile()
            except CallError:
                if self._stopping.is_set():
                    return
                raise

    async def _work(self) -> None:
        while not self._stopping.is_set():
            await self._pause()
            if self._stopping.is_set():
                return
            try:
                has_ended = not await self._apply_next()
            except (CommandError, OSError) as error:  # OSError: of the state, the keys or the file
                # The requests in flight end as after Ctrl-C, so that their outcomes are known.
                if not self._stopping.is_set():
                    self._error = error
                self.stop()
                return
            if has_ended:
                return

    async def _apply_next(self) -> bool:
        """Applies the next rows, or waits while others may come back; returns whether there are any."""
        if items := self._take():
            self._in_flight += 1
            try:
                await self._apply(items)
            finally:
                self._in_flight -= 1
                self._changed.set()
        elif not self._in_flight:
            return False
        else:
            self._changed.clear()
            await self._changed.wait()
        return True

    async def _pause(self) -> None:
        """Waits after a failed call, but not once the run is to stop."""
        while (delay := self._resume_at - time.monotonic()) > 0 and not self._stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)

    def _take(self) -> list[Item]:
        """Returns the rows of the next request: those that came back first."""
        items: list[Item] = []
        size = 0
        while len(items) < self._size and size < _MAX_BYTES and self._waiting:
            items.append(self._waiting.popleft())
            size += len(items[-1].body)
        new: list[tuple[int, str, dict[str, Any]]] = []
        while len(items) + len(new) < self._size and size < _MAX_BYTES:
            row = next(self._rows, None)
            if row is None:
                break
            new.append(row)
            size += len(json.dumps(row[2]))
        return items + self._with_keys(new)

    def _with_keys(self, new: Sequence[tuple[int, str, dict[str, Any]]]) -> list[Item]:
        without_keys = {number for number, _, document in new if not has_keys(document)}
        if self._keys:
            self._keys.add_to(document for _, _, document in new)
        items: list[Item] = []
        for number, id, document in new:
            item = Item(number=number, id=id, body=json.dumps(document).encode())
            item.in_doubt = self._state.status(number) is Status.SENT
            item.has_new_keys = number in without_keys and has_keys(document)
            items.append(item)
        return items

    async def _apply(self, items: Sequence[Item]) -> None:
        bodies = await self._bodies(items)
        content = b'{"mode":"%s","%s":[%s]}' % (
            self._mode.encode(),
            self._kind.path.encode(),
            b",".join(bodies),
        )
        self._state.record_sent(item.number for item in items)
        try:
            response = await self._client.send_once("POST", f"/{self._kind.path}", content=content)
            errors = parse_result(response)
        except CallFailedError as error:
            self._put_back(items, error)
        except CallRefusedError as error:
            self._split(items, error)
        else:
            self._record_result(items, errors)
        self._on_progress()

    async def _bodies(self, items: Sequence[Item]) -> list[bytes]:
        """Returns the records to send as JSON."""
        if self._mode != BulkMode.UPDATE_IF_MATCH_ETAG:
            return [item.body for item in items]
        documents = [item.document for item in items]
        reads = [document_for_update(self._client, self._kind, document) for document in documents]
        return [json.dumps(document).encode() for document in await asyncio.gather(*reads)]

    def _put_back(self, items: Sequence[Item], error: CallFailedError) -> None:
        """Puts rows back after a call that failed."""
        for item in items:
            item.in_doubt = item.in_doubt or error.in_doubt
        self._record_not_applied(items)
        self._back_off(error)
        if error.code == _INTERNAL_ERROR:
            self._isolate(items, error)
        else:
            self._waiting.extend(items)

    def _record_not_applied(self, items: Sequence[Item]) -> None:
        """Records rows of a call that changed nothing, unless an earlier one may have done so."""
        open_rows = {item.number: Status.OPEN for item in items if not item.in_doubt}
        self._state.record_outcomes(open_rows, {})

    def _isolate(self, items: Sequence[Item], error: CallFailedError) -> None:
        """Tries smaller requests: one of the rows may be what makes the app fail."""
        self._size = max(1, len(items) // 2)
        for item in items:
            item.server_errors += len(items) == 1
            if item.server_errors < _MAX_SERVER_ERRORS:
                self._waiting.append(item)
            else:
                item.error = Failure(code=_INTERNAL_ERROR, reason=str(error))
                self._unreconciled.append(item)

    def _back_off(self, error: CallFailedError) -> None:
        """Pauses all calls after one without success; raises `NoProgressError` in the end."""
        if time.monotonic() - self._last_success > self._client.retry_timeout:
            raise NoProgressError(str(error)) from error
        now = time.monotonic()
        is_first = now >= self._resume_at  # of the requests that fail at the same time
        self._resume_at = max(self._resume_at, now + retry_delay(error, self._attempt))
        self._attempt += is_first
        if is_first and self._attempt == _REPORT_AFTER:
            self._on_wait(f"{error} Retrying.")

    def _split(self, items: Sequence[Item], error: CallRefusedError) -> None:
        """Tries smaller requests if the app refused the records; raises if it refused the caller."""
        for item in items:
            item.in_doubt = item.in_doubt or error.in_doubt
        is_about_records = error.status in (
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        )
        if not is_about_records:
            self._record_not_applied(items)
            raise error
        if len(items) > 1:
            self._record_not_applied(items)
            self._size = max(1, len(items) // 2)
            if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                self._full_size = self._size
            self._waiting.extendleft(reversed(items))
            return
        items[0].error = Failure(code=error.code or error.status or 0, reason=str(error))
        if items[0].in_doubt:
            self._unreconciled.append(items[0])
        else:
            self._state.record_outcomes({}, {items[0].number: items[0].error})

    def _record_result(self, items: Sequence[Item], errors: Sequence[Mapping[str, Any]]) -> None:
        by_id = {str(error.get(self._kind.id_member)).casefold(): error for error in errors}
        statuses: dict[int, Status] = {}
        failures: dict[int, Failure] = {}
        for item in items:
            error = by_id.pop(item.id.casefold(), None)
            if error is None:
                item.error = None
                statuses[item.number] = Status.DONE
                continue
            item.error = self._failure(item, error)
            outcome = self._outcome(item, item.error.code)
            if outcome is Status.FAILED:
                failures[item.number] = item.error
            elif outcome is not Status.SENT:
                statuses[item.number] = outcome
        if by_id:
            raise AppError("The app answered with errors of records that were not sent.")
        self._state.record_outcomes(statuses, failures)
        codes = [item.error.code for item in items if item.error]
        self._adapt_size(codes, len(items))
        is_answered = any(code // 1000 not in _RETRIED for code in codes)
        if is_answered or Status.DONE in statuses.values():
            self._last_success = time.monotonic()
            self._attempt = 0
        else:
            reason = items[0].error.reason if items[0].error else ""
            self._back_off(CallFailedError(f"No record could be applied: {reason}"))

    def _adapt_size(self, codes: Collection[int], sent: int) -> None:
        """Makes requests smaller if the app had no time for all rows, larger if all were applied."""
        if any(code // 1000 in _RETRIED and code != _UNKNOWN_OUTCOME for code in codes):
            self._size = max(_MIN_ROWS, min(self._size, sent // 2))
        elif not codes and not any(item.server_errors for item in self._waiting):
            self._size = min(self._full_size, 2 * self._size)

    def _failure(self, item: Item, error: Mapping[str, Any]) -> Failure:
        """Returns the failure for an error of a bulk result, with every fault."""
        in_record = re.compile(rf"/{self._kind.path}/\d+/?")
        faults = [
            f"{in_record.sub('', at, count=1).replace('/', '.')} {text}"
            for at, text in faults_in(error).items()
        ]
        code = error.get("errorCode")
        code = code if isinstance(code, int) else 0
        text = "; ".join(faults) or str(error.get("errorStatus"))
        if self._mode == BulkMode.UPDATE_IF_MATCH_ETAG and code // 1000 in _ETAG_MISMATCH:
            text = f"The record was changed: it has a different etag. ({text})"
        if item.has_new_keys and code // 1000 == _CONFLICT:
            text += " It has other keys than those made here; --mode upsert keeps them."
        return Failure(code=code, reason=text)

    def _outcome(self, item: Item, code: int) -> Status:
        """Returns what an error says about a row, and puts the row where it goes on."""
        item.in_doubt = item.in_doubt or code in (_UNKNOWN_OUTCOME, _INTERNAL_ERROR)
        if code // 1000 in _RETRIED and code != _UNKNOWN_OUTCOME:
            item.server_errors += code == _INTERNAL_ERROR
            if item.server_errors < _MAX_SERVER_ERRORS:
                self._waiting.append(item)
                return Status.SENT if item.in_doubt else Status.OPEN
        is_conflict = self._mode == BulkMode.CREATE and code // 1000 == _CONFLICT
        if not item.in_doubt and not is_conflict:
            return Status.FAILED
        self._unreconciled.append(item)
        return Status.SENT if item.in_doubt else Status.OPEN

    async def _reconcile(self) -> None:
        """Compares records with the rows whose outcome only they can show."""
        # Keys that were made here prove who created a record: nothing else has to be compared.
        pairs: list[tuple[Item, Mapping[str, Any] | None]]
        pairs = [(item, None) for item in self._unreconciled if item.has_new_keys]
        items = {item.id.casefold(): item for item in self._unreconciled if not item.has_new_keys}
        self._unreconciled = []
        resolved = 0
        async for key, record in find_stored(
            self._client, self._kind, [item.id for item in items.values()]
        ):
            if self._stopping.is_set():
                return
            pairs.append((items.pop(key), record))
            if len(pairs) >= CONCURRENT_READS:
                resolved += await self._reconcile_some(pairs)
                pairs = []
        resolved += await self._reconcile_some([*pairs, *((item, None) for item in items.values())])
        if resolved:
            self._last_success = time.monotonic()
            self._attempt = 0
        else:
            self._back_off(CallFailedError("The outcome of the last rows is unknown."))

    async def _reconcile_some(self, pairs: Sequence[tuple[Item, Mapping[str, Any] | None]]) -> int:
        """Records outcomes of rows by their records; returns how many of them."""
        resolved = 0
        for start in range(0, len(pairs), CONCURRENT_READS):
            if self._stopping.is_set():
                break
            some = pairs[start : start + CONCURRENT_READS]
            are_matches = await asyncio.gather(*(self._matches(*pair) for pair in some))
            statuses: dict[int, Status] = {}
            failures: dict[int, Failure] = {}
            for (item, _), is_match in zip(some, are_matches, strict=True):
                if is_match:
                    is_own = item.in_doubt or item.has_new_keys
                    statuses[item.number] = Status.DONE if is_own else Status.UNCHANGED
                elif item.error is None or item.error.code == _UNKNOWN_OUTCOME:
                    self._waiting.append(item)
                else:
                    failures[item.number] = item.error
            self._state.record_outcomes(statuses, failures)
            self._on_progress()
            resolved += len(statuses) + len(failures)
        return resolved

    async def _matches(self, item: Item, record: Mapping[str, Any] | None) -> bool:
        if item.has_new_keys:
            keys = item.document["attestation"]["symmetricKey"]
            return await has_stored_keys(self._client, self._kind, item.id, keys)
        if self._mode == BulkMode.DELETE or record is None:
            return self._mode == BulkMode.DELETE and record is None
        return await is_stored(self._client, self._kind, record, item.document)
