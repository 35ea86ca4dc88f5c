"""Masked webhook URLs: completed from the setting or refused, by every way of writing a record."""

import json
from collections.abc import Callable

import httpx
import pytest

from shared.redaction import MASK
from tests.functions.queue_stack import REJECTED, Dps, Queues
from tests.functions.samples import (
    CREATE,
    UPDATE,
    UPSERT,
    Document,
    bulk_request,
    enrollment,
    group,
    request_for,
)
from tests.secret_factory import function_key

ADDRESS, OTHER = "https://app.example/allocation/default", "https://other.example/allocation"
KEY = function_key()
OWN_URL = f"{ADDRESS}?code={KEY}&clientId=dps"
MASKED, MASKED_OTHER = f"{ADDRESS}?{MASK}", f"{OTHER}?{MASK}"
POINTER = "customAllocationDefinition/webhookUrl"

Write = Callable[[str], Document]
"""Writes a record with a webhook URL; returns the response or the result."""


def custom(url: str) -> Document:
    """Returns the members of a record with custom allocation."""
    definition = {"webhookUrl": url, "apiVersion": "2021-10-01"}
    return {"allocationPolicy": "custom", "customAllocationDefinition": definition}


class Writer:
    """The ways of writing the record `dev-1`; the names of their methods are the tests' parameters."""

    def __init__(self, app: httpx.Client, queues: Queues) -> None:
        self._app = app
        self._queues = queues
        self.results = 0

    def put(self, url: str) -> Document:
        """Creates by PUT."""
        return dict(self._app.put("/enrollments/dev-1", json=enrollment(**custom(url))).json())

    def patch(self, url: str) -> Document:
        """Changes another member of a record that has the URL."""
        address = url.partition("?")[0]
        stored = enrollment(**custom(f"{address}?code=old"))
        self._app.put("/enrollments/dev-1", json=stored).raise_for_status()
        return dict(self._app.patch("/enrollments/dev-1", json={"deviceId": "a"}).json())

    def patch_url(self, url: str) -> Document:
        """Changes the URL."""
        self._app.put("/enrollments/dev-1", json=enrollment()).raise_for_status()
        return dict(self._app.patch("/enrollments/dev-1", json=custom(url)).json())

    def http_bulk(self, url: str) -> Document:
        """Creates by a bulk operation that DPS accepts as it is."""
        return self._bulk(CREATE, enrollment(**custom(url)))

    def http_upsert(self, url: str) -> Document:
        """Creates or replaces by the batch writer."""
        return self._bulk(UPSERT, enrollment(**custom(url)))

    def message(self, url: str) -> Document:
        """Creates by a message."""
        self._queues.request(request_for(CREATE, **custom(url)))
        return self._outcome()

    def message_upsert(self, url: str) -> Document:
        """Replaces a record by a message."""
        self._app.put("/enrollments/dev-1", json=enrollment()).raise_for_status()
        self._queues.request(request_for(UPSERT, **custom(url)))
        return self._outcome()

    def message_update(self, url: str) -> Document:
        """Updates a record by a message."""
        self._app.put("/enrollments/dev-1", json=enrollment()).raise_for_status()
        self._queues.request(request_for(UPDATE, **custom(url)))
        return self._outcome()

    def bulk_message(self, url: str) -> Document:
        """Creates by a bulk message."""
        self._queues.bulk(bulk_request(CREATE, enrollment(**custom(url))))
        return self._outcome()

    def event(self, url: str) -> Document:
        """Creates by a CloudEvent."""
        attributes = {"specversion": "1.0", "id": "1", "source": "/erp", "type": "shipped"}
        self._queues.request({**attributes, "data": request_for(CREATE, **custom(url))})
        return self._outcome()

    def _bulk(self, mode: str, record: Document) -> Document:
        result = self._app.post("/enrollments", json=bulk_request(mode, record)).json()
        return dict(next(iter(result["errors"]), result))

    def _outcome(self) -> Document:
        self.results += 1
        return self._queues.outcomes(self.results)[-1]


_MORE_WAYS = ("patch_url", "message_upsert", "message_update", "event")
WAYS = [
    pytest.param(name, marks=pytest.mark.long if name in _MORE_WAYS else ())
    for name in vars(Writer)
    if not name.startswith("_")
]


@pytest.fixture
def writer(queue_app: httpx.Client, queues: Queues) -> Writer:
    """The ways of writing."""
    return Writer(queue_app, queues)


@pytest.fixture
def own_url(configure: Callable[..., None]) -> None:
    """The app knows one URL."""
    configure(ALLOCATION_WEBHOOK_URLS=f"https://a.example/x?code=1, {OWN_URL}")


def stored(queues: Queues, id: str = "dev-1") -> Document:
    """Returns the members of the record in DPS, which no response shows unmasked."""
    record = queues.stack.dps._instance.enrollments.find(id)  # noqa: SLF001
    return dict(record.members) if record else {}


@pytest.mark.usefixtures("own_url")
@pytest.mark.parametrize("way", WAYS)
def test_masked_url_of_the_app_is_completed(writer: Writer, queues: Queues, way: str) -> None:
    """With the key of the setting, which no response, result or log line shows."""
    response = getattr(writer, way)(MASKED)

    assert stored(queues)["customAllocationDefinition"]["webhookUrl"] == OWN_URL
    assert KEY not in json.dumps(response)


@pytest.mark.usefixtures("own_url")
@pytest.mark.parametrize("way", WAYS)
def test_other_masked_url_is_refused(writer: Writer, queues: Queues, way: str) -> None:
    """With its pointer and what to do, before DPS is called."""
    response = getattr(writer, way)(MASKED_OTHER)

    assert response["errorCode"] == 400004
    [(pointer, fault)] = response["info"].items()
    assert pointer.endswith(POINTER)
    assert "send the complete URL" in fault
    assert "ALLOCATION_WEBHOOK_URLS" in fault
    assert MASK not in json.dumps(stored(queues))


@pytest.mark.parametrize(
    "url",
    [
        f"{ADDRESS}/x?{MASK}",
        f"{ADDRESS}?code={MASK}#",
        f"{ADDRESS}?%2A%2A%2A%2A",
        f"https://u:{MASK}@app.example/allocation/default?code=1",
    ],
)
def test_no_form_of_a_mask_is_stored(writer: Writer, queues: Queues, url: str) -> None:
    """Without the setting none is completed."""
    assert writer.put(url)["errorCode"] == 400004
    assert stored(queues) == {}


@pytest.mark.usefixtures("own_url")
def test_scheme_and_host_are_compared_without_case(writer: Writer, queues: Queues) -> None:
    """The path is compared with case (RFC 9110, 4.2.3)."""
    writer.put(MASKED.replace("https://app", "HTTPS://APP"))

    assert stored(queues)["customAllocationDefinition"]["webhookUrl"] == OWN_URL
    assert writer.put(MASKED.replace("default", "Default"))["errorCode"] == 400004


@pytest.mark.usefixtures("own_url")
def test_groups_are_read_changed_and_written(queue_app: httpx.Client) -> None:
    """A group that was read can be written back, also with PATCH and in a bulk operation."""
    path = "/enrollmentGroups/group-1"
    queue_app.put(path, json=group(**custom(OWN_URL))).raise_for_status()

    read = queue_app.get(path).json()
    headers = {"If-Match": read["etag"]}
    written = queue_app.put(path, json=read, headers=headers).raise_for_status().json()
    operation = {"mode": "updateIfMatchETag", "enrollmentGroups": [written]}
    result = queue_app.post("/enrollmentGroups", json=operation).json()

    assert read["customAllocationDefinition"]["webhookUrl"] == MASKED
    assert written["customAllocationDefinition"]["webhookUrl"] == MASKED
    assert result["isSuccessful"]


@pytest.mark.usefixtures("own_url")
@pytest.mark.parametrize(("url", "is_written"), [(MASKED, True), (MASKED_OTHER, False)])
def test_names_in_another_case_hide_no_mask(
    queue_app: httpx.Client, queues: Queues, url: str, *, is_written: bool
) -> None:
    """DPS reads names without regard to case, and so does the app."""
    definition = {"WEBHOOKURL": url, "apiversion": "2021-10-01"}
    record = enrollment(AllocationPolicy="Custom", customallocationdefinition=definition)

    response = queue_app.put("/enrollments/dev-1", json=record)

    assert response.is_success == is_written
    assert MASK not in json.dumps(stored(queues))


def test_key_is_rolled_by_the_setting(
    writer: Writer, queues: Queues, configure: Callable[..., None], queue_app: httpx.Client
) -> None:
    """Records that are written again have the new key."""
    configure(ALLOCATION_WEBHOOK_URLS=OWN_URL)
    writer.put(MASKED)
    new_url = f"{ADDRESS}?code={function_key()}"
    configure(ALLOCATION_WEBHOOK_URLS=new_url)

    queue_app.patch("/enrollments/dev-1", json={}).raise_for_status()

    assert stored(queues)["customAllocationDefinition"]["webhookUrl"] == new_url


def test_responses_mask_the_key(queue_app: httpx.Client, queues: Queues) -> None:
    """Of a PUT, a GET and a query, whether DPS masks it or not; a URL without a query is shown."""
    shown = [queue_app.put("/enrollments/dev-1", json=enrollment(**custom(OWN_URL))).json()]
    plain = queue_app.put("/enrollments/dev-2", json=enrollment("dev-2", **custom(ADDRESS)))
    shown += [queue_app.get("/enrollments/dev-1").json()]
    page = queue_app.post("/enrollments/query", json={"query": "SELECT *"}).json()
    shown += [record for record in page if record["registrationId"] == "dev-1"]

    urls = [record["customAllocationDefinition"]["webhookUrl"] for record in shown]
    assert urls == [MASKED] * 3
    assert plain.json()["customAllocationDefinition"]["webhookUrl"] == ADDRESS
    assert stored(queues)["customAllocationDefinition"]["webhookUrl"] == OWN_URL


@pytest.mark.usefixtures("own_url")
def test_postponed_message_has_no_key(queues: Queues, queue_dps: Dps) -> None:
    """The copy has the URL as it was sent: a key that is rolled meanwhile is not old."""
    queue_dps.faults({"do": {"status": 429, "headers": {"Retry-After": "30"}}})
    records = [enrollment(**custom(MASKED)), enrollment("dev-2")]
    queues.bulk(bulk_request(CREATE, *records))

    [copy] = queues.postponed(queue="bulk-operations")

    assert KEY not in copy["body"].decode()
    assert json.loads(copy["body"])["enrollments"] == records


@pytest.mark.usefixtures("own_url")
def test_replayed_message_is_completed_or_refused(
    queue_app: httpx.Client, queues: Queues, configure: Callable[..., None]
) -> None:
    """A patch with a mask is refused; a message that was refused is applied once the URL is known."""
    configure(ALLOCATION_WEBHOOK_URLS="")
    queues.request(request_for(CREATE, **custom(MASKED)))
    queues.rejected()
    [received] = queues.peek(REJECTED)
    replay = {"sequenceNumber": received.sequence_number}
    patch = {"enrollment": custom(MASKED_OTHER)}

    refused = queue_app.post("/rejected/replay", json={**replay, "patch": patch})
    configure(ALLOCATION_WEBHOOK_URLS=OWN_URL)
    queue_app.post("/rejected/replay", json=replay).raise_for_status()

    assert list(refused.json()["info"]) == [f"/enrollment/{POINTER}"]
    assert [outcome["status"] for outcome in queues.outcomes(2)] == ["rejected", "succeeded"]
    assert stored(queues)["customAllocationDefinition"]["webhookUrl"] == OWN_URL


def test_message_waits_while_the_setting_is_invalid(
    queues: Queues, queue_app: httpx.Client, configure: Callable[..., None]
) -> None:
    """It is postponed, and `health/ready` names the setting without its value."""
    configure(ALLOCATION_WEBHOOK_URLS=f"{OWN_URL},{ADDRESS}")
    queues.request(request_for(CREATE, **custom(MASKED)))

    queues.postponed()

    faults = queue_app.get("/health/ready").json()["faults"]
    [fault] = [f["fault"] for f in faults if f.get("setting") == "ALLOCATION_WEBHOOK_URLS"]
    assert "number 2" in fault


@pytest.mark.usefixtures("own_url")
def test_error_of_dps_does_not_show_the_key(writer: Writer, queue_dps: Dps) -> None:
    """The app filled it in: the caller must not read it in DPS's message, of a call or a record."""
    text = f"Invalid webhook {OWN_URL}"
    body = {"errorCode": 400004, "message": text, "trackingId": "t", "info": {"url": OWN_URL}}
    item = {"registrationId": "dev-1", "errorCode": 400004, "errorStatus": text}
    result = {"isSuccessful": False, "errors": [item]}
    queue_dps.faults(
        {"match": {"method": "PUT"}, "do": {"status": 400, "body": body}},
        {"match": {"method": "POST"}, "do": {"status": 200, "body": result}},
    )

    texts = [writer.put(MASKED)["message"], writer.http_bulk(MASKED)["errorStatus"]]
    texts += [writer.bulk_message(MASKED)["message"]]

    assert texts == [f"Invalid webhook {MASKED}"] * 3
    queue_dps.clear_faults()
