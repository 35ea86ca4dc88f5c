"""A key that is planted anywhere in a request is in no listing, error, result or log line."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from azure.servicebus import ServiceBusMessage
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests import secret_factory
from tests.functions.queue_stack import BULK, REQUESTS, RESULTS, Queues, message
from tests.functions.samples import UPDATE, UPSERT, Document, enrollment, group

KEY = secret_factory.symmetric_key()
"""Recognised by its form, wherever it is."""
PIN = f"pin{secret_factory.function_key()[:12]}"
"""Has no form of a key: masked for its pointer or the name before it."""
secret_factory.created.append(PIN)

X509 = {"x509": {"clientCertificates": {"primary": {"certificate": "MII", "info": {"version": 3}}}}}
RECORD = enrollment(
    "missing",
    deviceId="device",
    allocationPolicy="custom",
    customAllocationDefinition={"webhookUrl": "https://a.example/x", "apiVersion": "2021-10-01"},
    initialTwin={"tags": {"plant": ["graz", {"line": 4}]}, "properties": {"desired": {"a": None}}},
    iotHubs=["hub-1.azure-devices.net"],
    etag="old",
)
TPM = enrollment("tpm", attestation={"type": "tpm", "tpm": {"endorsementKey": "AA"}})
KEYS = {"type": "symmetricKey", "symmetricKey": {"primaryKey": "short", "secondaryKey": None}}
EVENT = {"specversion": "1.0", "id": "e-1", "source": "/erp", "type": "shipped"}
REQUESTS_AND_QUEUES: list[tuple[Document, str]] = [
    ({"operation": UPDATE, "ifMatch": "*", "enrollment": RECORD}, REQUESTS),
    ({"operation": UPSERT, "enrollmentGroup": group(attestation=KEYS)}, REQUESTS),
    (
        {**EVENT, "data": {"operation": UPDATE, "enrollment": RECORD | {"attestation": X509}}},
        REQUESTS,
    ),
    ({"mode": UPDATE, "enrollments": [RECORD, TPM]}, BULK),
]

Path = tuple[Any, ...]
Form = Callable[[Any, str], Any]
"""Returns what is put in place of a value, with a secret."""

KEY_FORMS: dict[str, Form] = {
    "name": lambda value, key: {key: value},
    "text": lambda _, key: f"the key {key}, or:{key}",
    "path": lambda _, key: f"https://a.example/{key}/x",
    "value": lambda _, key: key,
    "list": lambda value, key: [value, [key]],
    "json": lambda value, key: json.dumps({"a": [value, key]}),
    "cut json": lambda value, key: json.dumps({"a": [value, key]})[:-1],
}
# With a name, or in a member, that says that it is a secret.
PIN_FORMS: dict[str, Form] = {
    "attestation": lambda value, pin: {"attestation": [value, {pin: pin}, pin]},
    "attestation in json": lambda value, pin: json.dumps({"Attestation": {pin: [value, pin]}}),
    "url in cut json": lambda _, pin: json.dumps({"url": f"a.example/?x {pin}"})[:-1],
    "password in cut json": lambda _, pin: f"sent: {json.dumps([{'password': {'a': pin}}])}",
    "attestation in cut json": lambda _, pin: json.dumps({"attestation": {"a": pin}})[:-2],
    "password": lambda value, pin: {"wifiPassword": pin, "rest": value},
    "token": lambda _, pin: [{"x-Access_Token": {"a": [pin]}}],
    "password in a text": lambda _, pin: f"password={pin}; apiKey: '{pin}'",
    "user of a URL": lambda _, pin: f"https://user:{pin}@a.example/x",
    "query of a URL": lambda _, pin: f"see https://a.example/x?a={pin}&b#{pin}",
    "fragment of a URL": lambda _, pin: f"https://a.example/#{pin}",
    "url in json": lambda _, pin: json.dumps({"webhookUrl": f"a.example/?x {pin}"}),
}


def paths(node: Any, path: Path = ()) -> Iterator[Path]:
    """Yields the path of each value of a document, but not of the document."""
    if isinstance(node, list):
        node = dict(enumerate(node))
    for step, child in node.items() if isinstance(node, dict) else ():
        yield (*path, step)
        yield from paths(child, (*path, step))


def planted(document: Document, path: Path, form: str) -> Document:
    """Returns a copy of the document with a secret at the path."""
    result = copy.deepcopy(document)
    node: Any = result
    for step in path[:-1]:
        node = node[step]
    if form in KEY_FORMS:
        is_hidden = "attestation" in path[:-1] and form in {"value", "list"}
        node[path[-1]] = KEY_FORMS[form](node[path[-1]], PIN if is_hidden else KEY)
    else:
        node[path[-1]] = PIN_FORMS[form](node[path[-1]], PIN)
    return result


@pytest.fixture
def assert_hidden(queue_app: httpx.Client, queues: Queues) -> Callable[..., None]:
    """Sends messages, and searches the listing of the rejected ones and the results."""
    start = 0

    def check(*sent: tuple[str, ServiceBusMessage]) -> None:
        nonlocal start
        for queue in (REQUESTS, BULK):
            queues.send(queue, *(message for target, message in sent if target == queue))
        queues.wait_until_idle()
        pages = []
        following: int | None = start
        while following is not None:
            parameters = {"top": 100, "start": following}
            response = queue_app.get("/rejected", params=parameters).raise_for_status()
            pages.append(response.text)
            entries, following = response.json()["messages"], response.json()["next"]
            start = max([start, *(entry["sequenceNumber"] + 1 for entry in entries)])
        results = [b"".join(result.body).decode() for result in queues.peek(RESULTS)]
        assert pages[0].count("sequenceNumber")
        assert results
        assert not any(secret in text for secret in (KEY, PIN) for text in (*pages, *results))

    return check


@pytest.mark.parametrize(
    "part", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 11))]
)
def test_one_secret_at_every_path(assert_hidden: Callable[..., None], part: int) -> None:
    """Every form at every path of every kind of request; a part has every form and every path."""
    requests = [
        (queue, message(planted(document, path, form)))
        for document, queue in REQUESTS_AND_QUEUES
        for path in paths(document)
        for form in (*KEY_FORMS, *PIN_FORMS)
    ]

    assert_hidden(*requests[part::11])


PROPERTIES = ("subject", "reply_to", "content_type")
APPLICATION_PROPERTIES = (
    "reason",
    "description",
    "trackingId",
    "errorCode",
    "sourceQueue",
    "tenant",
)


def test_secret_in_properties_of_a_message(assert_hidden: Callable[..., None]) -> None:
    """Except the ids, which results repeat."""
    body = {"operation": UPDATE, "enrollment": RECORD}
    own = [message(body, **{name: KEY}) for name in PROPERTIES]
    own += [message(body, application_properties={name: KEY}) for name in APPLICATION_PROPERTIES]
    own += [message(body, application_properties={KEY: "a", "x": f"password={PIN}"})]

    assert_hidden(*((REQUESTS, sent) for sent in own))


@st.composite
def mutated(draw: Any) -> tuple[str, ServiceBusMessage]:
    """Returns a request with several secrets, and perhaps cut off."""
    document, queue = draw(st.sampled_from(REQUESTS_AND_QUEUES))
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(list(paths(document))))
        document = planted(document, path, draw(st.sampled_from([*KEY_FORMS, *PIN_FORMS])))
    body = json.dumps(document).encode()
    properties = {draw(st.sampled_from(APPLICATION_PROPERTIES)): KEY} if draw(st.booleans()) else {}
    cut = body[: draw(st.integers(1, len(body)))] if draw(st.integers(0, 9)) == 0 else body
    return queue, message(cut, application_properties=properties)


def generated(examples: int) -> settings:
    """Returns the options of a test with this number of examples."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],  # an example takes seconds
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@generated(40)
@given(sent=st.lists(mutated(), min_size=50, max_size=50))
def test_secrets_in_mutated_requests(assert_hidden: Callable[..., None], sent: Any) -> None:
    """Several at once, in requests that are damaged too."""
    assert_hidden(*sent)


def test_errors_of_http_requests_have_no_secret(queue_app: httpx.Client) -> None:
    """Of PUT, bulk operations, PATCH, and parameters of rejected messages."""
    records = [planted(RECORD, path, form) for path in paths(RECORD) for form in KEY_FORMS]
    for record in records[::3]:
        responses = [
            queue_app.put("/enrollments/missing", json=record, headers={"If-Match": "*"}),
            queue_app.patch("/enrollments/missing", json=record),
            queue_app.post("/enrollments", json={"mode": "update", "enrollments": [record]}),
            queue_app.post("/enrollments/query", json=record),
            queue_app.post("/rejected/replay", json=record),
            queue_app.put("/enrollments/missing", content=f'{{"{KEY}": 1, "{KEY}": 2}}'),
        ]
        assert not any(KEY in response.text for response in responses)


def test_errors_of_parameters_have_no_secret(queue_app: httpx.Client) -> None:
    """Neither their names nor their values."""
    for parameters in ({KEY: "1"}, {"queue": KEY}, {"top": KEY}, {"olderThan": KEY}):
        response = queue_app.get("/rejected", params=parameters)
        assert response.status_code == 400
        assert KEY not in response.text
    assert KEY not in queue_app.get("/rejected", params={"reason": KEY, "id": KEY}).text
