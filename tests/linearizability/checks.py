"""Compares the answer of each operation with the stand-in's history of commits."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from local.dps.records import Commit
from local.dps.request_log import LoggedRequest
from tests.linearizability.operations import CREATE, DELETE, PATCH, UPSERT, Operation

_UNKNOWN = 503004
# The outcome of these is unknown too: their meaning says so.
_MAY_BE_APPLIED = {_UNKNOWN, 502001, 502003, 504001}
# DPS's time has whole seconds until the app has seen a record: a stranger's write before the first
# attempt may look later.
_DATE_RESOLUTION = 1.0


@dataclass(frozen=True, kw_only=True)
class OwnedCommit:
    """A commit and the id of the request that made it."""

    commit: Commit
    request_id: str | None


class History:
    """What the stand-in committed and answered while these operations ran."""

    def __init__(
        self,
        requests: Iterable[LoggedRequest],
        operations: Iterable[Operation],
        *,
        strangers: str,
    ) -> None:
        self._strangers = strangers
        self._ends = {operation.request_id: operation.end for operation in operations}
        self._commits: dict[str, list[OwnedCommit]] = {}
        self._requests: dict[str | None, list[LoggedRequest]] = {}
        for request in requests:
            self._requests.setdefault(request.request_id, []).append(request)
            for commit in request.commits:
                owned = OwnedCommit(commit=commit, request_id=request.request_id)
                self._commits.setdefault(commit.id, []).append(owned)
        for commits in self._commits.values():
            commits.sort(key=lambda owned: owned.commit.at)

    def own(self, operation: Operation) -> list[Commit]:
        """Returns the commits of the operation."""
        commits = self._commits.get(operation.id, [])
        return [each.commit for each in commits if each.request_id == operation.request_id]

    def others(self, operation: Operation) -> list[Commit]:
        """Returns the commits of others that were made while the operation ran, or may seem so."""
        return [
            each.commit
            for each in self._commits.get(operation.id, [])
            if each.request_id != operation.request_id
            and each.commit.at <= operation.end
            and self._latest(each) >= operation.start
        ]

    def _latest(self, each: OwnedCommit) -> float:
        """Returns when the app is certain to know of a commit."""
        if (each.request_id or "").startswith(self._strangers):
            return each.commit.at + _DATE_RESOLUTION
        # Until its operation ends, the app may have lost the response, and not read the record.
        return self._ends[each.request_id or ""]

    def states(self, operation: Operation) -> set[str | None]:
        """Returns the etags that the record had during the operation; `None`: it was missing."""
        etag: str | None = None
        states = set()
        for each in self._commits.get(operation.id, []):
            if each.commit.at > operation.end:
                break
            if each.commit.at >= operation.start:
                states.add(etag)
            etag = each.commit.etag
        return states | {etag}

    def describe(self, operation: Operation) -> str:
        """Returns the requests of the operation, and the commits before and during it."""
        requests = [(r.method, r.path, r.status) for r in self._concerning(operation)]
        commits = [
            (each.request_id, round(each.commit.at - operation.start, 4), each.commit.etag)
            for each in self._commits.get(operation.id, [])
            if each.commit.at <= operation.end
        ]
        return f"  requests {requests}\n  commits {commits[-5:]}"

    def is_readable(self, operation: Operation) -> bool:
        """Returns whether the app has read the record after its last write."""
        requests = self._concerning(operation)
        read = requests[-1] if requests else None
        return read is not None and read.status == 200 and _is_read(read)

    def has_lost_write(self, operation: Operation) -> bool:
        """Returns whether the response to a write was lost."""
        return any(
            (request.status is None or request.status >= 500) and not _is_read(request)
            for request in self._concerning(operation)
        )

    def _concerning(self, operation: Operation) -> list[LoggedRequest]:
        """Returns the requests of the operation that are for its record."""
        requests = self._requests.get(operation.request_id, [])
        return [
            r for r in requests if r.path == "/enrollments" or operation.id in r.path.split("/")
        ]


def _is_read(request: LoggedRequest) -> bool:
    return request.method == "GET" or request.path.endswith("/attestationmechanism")


def find_false_answers(operations: Sequence[Operation], history: History) -> Iterator[str]:
    """Yields a text for each answer that the history contradicts."""
    for operation in operations:
        for fault in _faults(operation, history):
            yield f"{fault}: {operation}\n{history.describe(operation)}"


def _faults(operation: Operation, history: History) -> Iterator[str]:
    own = history.own(operation)
    code = operation.answer.code
    if operation.answer.is_success:
        yield from _faults_of_success(operation, history, own)
    elif code in _MAY_BE_APPLIED:
        yield from _faults_of_unknown(operation, history, own)
    elif own:
        yield (
            "false refusal" if _is_refusal(operation) else "applied, but reported as not attempted"
        )
    elif _is_refusal(operation) and not _is_plausible(operation, history):
        yield "refused for a state that the record never had"
    yield from _faults_of_repetition(operation, own, history)


def _is_refusal(operation: Operation) -> bool:
    return (operation.answer.code or 0) // 1000 in {404, 409, 412}


def _faults_of_success(operation: Operation, history: History, own: list[Commit]) -> Iterator[str]:
    if operation.kind == DELETE:
        was_missing = None in history.states(operation) and history.has_lost_write(operation)
        if not own and not was_missing:
            yield "false success: nothing was deleted"
        return
    etags = [commit.etag for commit in own]
    if not etags:
        yield "false success: nothing was written"
    if operation.answer.etag and operation.answer.etag not in etags:
        yield "false success: the etag is that of another write"


def _faults_of_unknown(operation: Operation, history: History, own: list[Commit]) -> Iterator[str]:
    if history.others(operation) or not history.is_readable(operation):
        return
    if operation.answer.code == _UNKNOWN:
        yield "unknown although nobody else wrote"
    elif own:
        yield "applied and readable, but reported as unknown"


def _is_plausible(operation: Operation, history: History) -> bool:
    """Returns whether the record was, at some time, in the state that the refusal names."""
    states = history.states(operation)
    status = (operation.answer.code or 0) // 1000
    if status == 404:
        return None in states
    if operation.kind == PATCH and not operation.if_match:
        return bool(history.others(operation))
    return bool(states - {None, operation.if_match})


def _faults_of_repetition(
    operation: Operation, own: list[Commit], history: History
) -> Iterator[str]:
    if operation.kind == UPSERT:
        if _is_refusal(operation):
            yield "an upsert was refused"
    elif operation.kind == CREATE:
        # After another writer's delete, the repeat of a create is a create.
        deleted = [c for c in history.others(operation) if c.etag is None]
        if len(own) > 1 and not deleted:
            yield "created twice"
    elif len(own) > 1:
        yield "applied twice"
