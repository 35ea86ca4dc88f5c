"""API versions: what is read to be written back keeps the members of every version it can."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import httpx
import pytest

from local.dps import DpsStandIn, Options
from local.stack import UNPACED
from local.threads import in_thread
from shared.dps import CallContext, DpsClient
from shared.dps.batching.items import ApplyOptions, RequestItem
from shared.dps.batching.operations import apply_individually
from shared.dps.models import INDIVIDUAL_ENROLLMENT, Operation
from shared.dps.read_modify_write import patch, replace
from shared.errors import DpsBadRequestError, DpsThrottledError, NotConfiguredError
from shared.settings import KNOWN_API_VERSIONS, Settings
from tests.shared.dps.documents import individual

OLDEST, MIDDLE, NEWEST = "2021-10-01", "2026-04-01", "2026-11-01"
CREDENTIALS = {"credentialPolicyName": "policy-1"}
REGISTRY = {
    "namespaceName": "factory-1",
    "certificateAuthorityName": "Root-1",
    "certificatePolicyName": "Policy-30-days",
}
TWIN = {"tags": {"plant": "graz"}}
UNKNOWN = "ErrorCode:ArgumentInvalid;Unknown api version; uri: /enrollments/dev-1"
OTHER = f"ErrorCode:ArgumentInvalid;Bad request; uri: /enrollments/dev-1?api-version={NEWEST}"


class Dps:
    """A stand-in that knows some versions, and a client of it."""

    def __init__(self, stand_in: DpsStandIn, client: DpsClient) -> None:
        self.stand_in = stand_in
        self.client = client
        self.enrollments = client.enrollments

    async def store(self, version: str, **members: Any) -> None:
        """Stores `dev-1`, and forgets the call."""
        context = CallContext(api_version=version)
        await self.enrollments.create_or_update("dev-1", individual(**members), context=context)
        self.stand_in.requests.clear()

    async def shown(self, version: str) -> dict[str, Any]:
        """Returns the members of `dev-1` that not every version has."""
        record = await self.enrollments.get("dev-1", context=CallContext(api_version=version))
        return {name: record[name] for name in CREDENTIALS | REGISTRY if name in record}

    def inject(self, *faults: dict[str, Any]) -> None:
        """Replaces the faults."""
        httpx.put(f"{self.stand_in.url}/_faults", json=faults).raise_for_status()

    @property
    def reads(self) -> list[int | None]:
        """The statuses of the reads of records since `store`, in order."""
        return [each.status for each in self.stand_in.requests if each.method == "GET"]


StartDps = Callable[..., Awaitable[Dps]]


@pytest.fixture
async def start() -> AsyncIterator[StartDps]:
    """Starts a stand-in that knows these versions, by default all, and a client with settings."""
    with ExitStack() as running:
        async with AsyncExitStack() as opened:

            async def create(*versions: str, **settings: str) -> Dps:
                known = frozenset(versions or KNOWN_API_VERSIONS)
                options = Options(port=0, tls_port=None, api_versions=known)
                stand_in = running.enter_context(in_thread(DpsStandIn(options)))
                url = {"DPS_CONNECTION_STRING": stand_in.connection_string}
                values = Settings.read({**UNPACED, **url, "DPS_MAX_ATTEMPTS": "2", **settings})
                return Dps(stand_in, await opened.enter_async_context(DpsClient(values)))

            yield create


async def patch_twin(dps: Dps, context: CallContext) -> None:
    """Changes a member by a merge patch."""
    await patch(dps.enrollments, "dev-1", {"initialTwin": TWIN}, context=context)


async def replace_record(dps: Dps, context: CallContext) -> None:
    """Replaces the record by one that does not have the names."""
    await replace(dps.enrollments, "dev-1", individual(initialTwin=TWIN), context=context)


async def update_item(dps: Dps, context: CallContext) -> None:
    """Applies the item of a message that has the etag, and not the keys."""
    stored = await dps.enrollments.get("dev-1")
    item = RequestItem(
        kind=INDIVIDUAL_ENROLLMENT,
        operation=Operation.UPDATE,
        id="dev-1",
        document=individual(initialTwin=TWIN),
        if_match=stored.etag,
    )
    await apply_individually(dps.enrollments, item, ApplyOptions(deadline=0), context)


@pytest.mark.parametrize("change", [patch_twin, replace_record, update_item])
@pytest.mark.parametrize("version", [None, "2018-04-01", "2019-03-31", OLDEST, MIDDLE])
async def test_members_of_a_newer_version_are_kept(
    start: StartDps,
    change: Callable[[Dps, CallContext], Awaitable[None]],
    version: str | None,
) -> None:
    """Whatever version the request names."""
    dps = await start()
    await dps.store(NEWEST, **REGISTRY)

    await change(dps, CallContext(api_version=version))

    assert await dps.shown(NEWEST) == REGISTRY
    assert (await dps.enrollments.get("dev-1"))["initialTwin"] == TWIN


async def test_member_of_the_requests_own_version_is_removed_by_a_replace(start: StartDps) -> None:
    """A request at a version that has the names omits them on purpose."""
    dps = await start()
    await dps.store(NEWEST, **REGISTRY)

    await replace_record(dps, CallContext(api_version=NEWEST))

    assert await dps.shown(NEWEST) == {}


async def test_patch_removes_a_member_at_any_version(start: StartDps) -> None:
    """It names the member: that is not the silence of an older version."""
    dps = await start()
    await dps.store(NEWEST, **REGISTRY)

    await patch(dps.enrollments, "dev-1", {"namespaceName": None})

    assert await dps.shown(NEWEST) == {k: v for k, v in REGISTRY.items() if k != "namespaceName"}


async def test_plain_write_has_the_version_of_the_request(start: StartDps) -> None:
    """A PUT that reads nothing means what it means in DPS, which drops newer members."""
    dps = await start()
    await dps.store(NEWEST, **REGISTRY)

    await dps.enrollments.create_or_update("dev-1", individual(), if_match="*")

    assert await dps.shown(NEWEST) == {}


@pytest.mark.parametrize(
    ("versions", "refused", "kept_at"),
    [
        (KNOWN_API_VERSIONS, 0, NEWEST),
        ((OLDEST, MIDDLE), 1, MIDDLE),
        ((OLDEST,), 2, OLDEST),
    ],
    ids=["all", "without the newest", "only the oldest"],
)
async def test_newest_version_is_found_by_the_first_read(
    start: StartDps, versions: tuple[str, ...], refused: int, kept_at: str
) -> None:
    """DPS refuses each newer one once; the process then remembers."""
    dps = await start(*versions)
    members = {NEWEST: REGISTRY, MIDDLE: CREDENTIALS, OLDEST: {}}[kept_at]
    await dps.store(kept_at, **members)

    for _ in range(2):
        await patch_twin(dps, CallContext())

    assert dps.reads == [*[400] * refused, 200, 200]
    assert await dps.shown(kept_at) == members


@pytest.mark.parametrize("default", [MIDDLE, NEWEST])
async def test_version_of_the_settings_costs_no_look_up(start: StartDps, default: str) -> None:
    """A default with the members of its own is not searched for: no call is refused."""
    dps = await start(OLDEST, default, DPS_DEFAULT_API_VERSION=default)
    members = {MIDDLE: CREDENTIALS, NEWEST: REGISTRY}[default]
    await dps.store(default, **members)

    await patch_twin(dps, CallContext(api_version=OLDEST))

    assert dps.reads == [200]
    assert await dps.shown(default) == members


async def test_credential_policy_is_kept_if_the_settings_name_its_version(start: StartDps) -> None:
    """No version shows every member: the operator decides for 2026-04-01."""
    dps = await start(DPS_DEFAULT_API_VERSION=MIDDLE)
    await dps.store(MIDDLE, **CREDENTIALS)

    await patch_twin(dps, CallContext())

    assert await dps.shown(MIDDLE) == CREDENTIALS


@pytest.mark.parametrize("version", [OLDEST, MIDDLE])
async def test_credential_policy_is_lost_at_the_newest_version(
    start: StartDps, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    """2026-11-01 lacks it; a caller who may know the member is warned."""
    dps = await start()
    await dps.store(MIDDLE, **CREDENTIALS)

    await replace(dps.enrollments, "dev-1", individual(), context=CallContext(api_version=version))

    assert await dps.shown(MIDDLE) == {}
    warned = [line for line in caplog.messages if "has no credentialPolicyName" in line]
    assert len(warned) == (version == MIDDLE)


async def test_newer_version_of_the_request_is_used(start: StartDps) -> None:
    """A preview of the operator's may have members that no stable version has."""
    preview = "2026-11-02-preview"
    dps = await start(*KNOWN_API_VERSIONS, preview, DPS_API_VERSIONS=preview)
    await dps.store(NEWEST, **REGISTRY)
    dps.inject({"match": {"method": "GET"}, "do": {"status": 400, "body": {"Message": UNKNOWN}}})

    with pytest.raises(DpsBadRequestError):
        await patch_twin(dps, CallContext(api_version=preview))

    assert dps.reads == [400]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 429, "headers": {"Retry-After": "0"}}, DpsThrottledError),
        ({"status": 400}, DpsBadRequestError),
        ({"status": 400, "body": {"Message": OTHER}}, DpsBadRequestError),
        ({"status": 400, "html": True}, DpsBadRequestError),
    ],
    ids=["throttled", "invalid", "other gateway error", "proxy"],
)
async def test_other_error_is_not_remembered(
    start: StartDps, fault: dict[str, Any], error: type[Exception]
) -> None:
    """It says nothing about the version: an older one would drop members."""
    dps = await start()
    await dps.store(NEWEST, **REGISTRY)
    dps.inject({"match": {"method": "GET"}, "times": 2, "do": fault})
    with pytest.raises(error):
        await patch(
            dps.enrollments, "dev-1", {"initialTwin": TWIN}, context=CallContext(max_attempts=1)
        )
    dps.inject()

    await patch_twin(dps, CallContext())

    assert await dps.shown(NEWEST) == REGISTRY


@pytest.mark.parametrize("version", [OLDEST, MIDDLE, NEWEST])
@pytest.mark.parametrize("members", [CREDENTIALS, REGISTRY, CREDENTIALS | REGISTRY])
async def test_write_with_a_lost_response_is_recognized(
    start: StartDps, version: str, members: dict[str, str]
) -> None:
    """It is compared as its version shows it: without the members that this does not store."""
    dps = await start()
    dps.inject({"match": {"method": "PUT"}, "times": 1, "do": {"resetAfterCommit": True}})

    record = await dps.enrollments.create_or_update(
        "dev-1", individual(**members), context=CallContext(api_version=version)
    )

    assert record.etag
    assert [each.method for each in dps.stand_in.requests].count("PUT") == 2


@pytest.mark.parametrize("version", [OLDEST, MIDDLE])
async def test_patch_with_a_lost_response_keeps_members(start: StartDps, version: str) -> None:
    """The record is looked up at the version at which it was written."""
    dps = await start()
    await dps.store(NEWEST, **REGISTRY)
    dps.inject({"match": {"method": "PUT"}, "times": 1, "do": {"resetAfterCommit": True}})

    await patch_twin(dps, CallContext(api_version=version))

    assert await dps.shown(NEWEST) == REGISTRY


@pytest.mark.parametrize("change", [patch_twin, replace_record])
async def test_default_that_dps_does_not_know_is_a_fault_of_the_settings(
    start: StartDps, change: Callable[[Dps, CallContext], Awaitable[None]]
) -> None:
    """Not one of the request: a message is postponed, not rejected."""
    dps = await start(OLDEST, DPS_DEFAULT_API_VERSION=NEWEST)
    await dps.store(OLDEST)

    for call in (dps.enrollments.get("dev-1"), change(dps, CallContext())):
        with pytest.raises(NotConfiguredError) as raised:
            await call
        assert list(raised.value.faults) == ["DPS_DEFAULT_API_VERSION"]


async def test_version_of_the_request_that_dps_does_not_know_is_its_fault(
    start: StartDps,
) -> None:
    """DPS's own error passes."""
    dps = await start(OLDEST)

    with pytest.raises(DpsBadRequestError):
        await dps.enrollments.get("dev-1", context=CallContext(api_version=NEWEST))


async def test_bulk_operation_with_members_that_its_version_lacks_is_logged(
    start: StartDps, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, with their names only."""
    dps = await start()
    records = [individual(registrationId=f"d-{n}", **REGISTRY) for n in range(3)]

    await dps.enrollments.run_bulk_operation({"enrollments": records, "mode": "create"})

    names = ", ".join(sorted(REGISTRY))
    expected = f"API version {OLDEST} has no {names}: DPS does not store them"
    assert [line for line in caplog.messages if "API version" in line] == [expected]
