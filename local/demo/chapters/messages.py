"""Requests in queues: what comes back for each, and what is kept aside."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from local.demo.chapters.records import same_members
from local.demo.checks import answer, expect
from local.demo.deliveries import SUCCEEDED, Asked, Delivery, asked_in
from local.demo.queues import RESULTS, Parked, ResultEvent, message
from local.demo.scene import Scene
from local.demo.steps import NothingToShowError, Step, UnexpectedError, Via

CONTENT_TYPE = "application/cloudevents+json"
EVENT_TYPE = "EnrollmentFunctions.RequestCompleted"
# All that a result may say: no key is among it.
MEMBERS = {
    "operation",
    "status",
    "registrationId",
    "enrollmentGroupId",
    "etag",
    "errorCode",
    "message",
    "trackingId",
    "info",
}
_DEEP = 5


def steps(scene: Scene) -> list[Step]:
    """One for each message of the examples, then the first result in full."""
    deliveries = [
        Step(Via.QUEUE, delivery.shows, partial(_deliver, scene, delivery))
        for delivery in scene.examples.messages
    ]
    return [
        Step(Via.QUEUE, "connect with azure-servicebus", partial(_connect, scene)),
        *deliveries,
        Step(Via.QUEUE, "the first result in full", partial(_first, scene)),
    ]


def _connect(scene: Scene) -> str:
    if not scene.examples.messages:
        raise NothingToShowError("no file holds a message")
    *others, last = scene.run(scene.queues.open())
    return f"{', '.join(others)} and {last}"


def _deliver(scene: Scene, delivery: Delivery) -> str:
    return scene.run(_delivered(scene, delivery))


async def _delivered(scene: Scene, delivery: Delivery) -> str:
    """Sends it, and reads what became of each of its records: in the queues, and in DPS."""
    queue = delivery.properties.get("reply_to") or RESULTS
    await scene.queues.send(delivery.queue, message(delivery.body, **delivery.properties))
    results = await scene.queues.results(
        delivery.correlation_id, len(delivery.expected), queue=queue
    )
    scene.results.extend(results)
    parked = _by_id(delivery, await scene.queues.rejected())
    told = {sound(result).get("subject", ""): result.event["data"] for result in results}
    became = {
        id_: data["status"] if data["status"] == SUCCEEDED else _reason(parked, id_)
        for id_, data in told.items()
    }
    if became != dict(delivery.expected):
        raise UnexpectedError(_unexpected(delivery, became, told))
    check_records(scene, [asked for asked in delivery.asked if became.get(asked.id) == SUCCEEDED])
    where = "" if queue == RESULTS else f"in {queue}: "
    return where + "; ".join(_in_words(told, became))


def sound(result: ResultEvent) -> Mapping[str, Any]:
    """The event of a result that is as results should be."""
    event: Mapping[str, Any] = result.event
    expect("content type", result.content_type.partition(";")[0], CONTENT_TYPE)
    expect("specversion and type", (event["specversion"], event["type"]), ("1.0", EVENT_TYPE))
    expect("message_id", result.message_id, event["id"])
    expect("members beside those of a result", sorted(event["data"].keys() - MEMBERS), [])
    return event


def check_records(scene: Scene, done: Sequence[Asked]) -> None:
    """Each is in DPS as it was sent, or is not if it was to be deleted."""
    for asked in done:
        reply = scene.http.get(f"{asked.path}/{asked.id}")
        stored = answer(reply, 404 if asked.is_deleted else 200)
        if not asked.is_deleted:
            same_members(asked.id, asked.record, stored)


def _by_id(delivery: Delivery, rejected: Sequence[Parked]) -> Mapping[str, Parked]:
    """What was parked of a message: all of it as it came, or each record in a message of its own."""
    copies = [copy for copy in rejected if copy.source_message_id == delivery.message_id]
    if len(delivery.expected) == 1:
        as_it_came = {copy.body for copy in copies} <= {delivery.body}
        expect("parked as it came", as_it_came, wanted=True)
        return {id_: copy for id_ in delivery.expected for copy in copies}
    found: dict[str, Parked] = {}
    for copy in copies:
        ids = [asked.id for asked in asked_in(copy.body)]
        found[next(iter(ids), "")] = copy
    return found


def _reason(parked: Mapping[str, Parked], id_: str) -> str:
    if id_ not in parked:
        raise UnexpectedError(f"{id_ or 'the message'} was rejected and not parked")
    return parked[id_].reason


def _in_words(told: Mapping[str, Any], became: Mapping[str, str]) -> Iterator[str]:
    if done := [id_ for id_ in told if became[id_] == SUCCEEDED]:
        yield f"{', '.join(done)} {SUCCEEDED}"
    for id_, data in told.items():
        if became[id_] != SUCCEEDED:
            # Where it is wrong is enough for a table; a fault of the whole has no place.
            faults = data.get("info", {}).items()
            places = [_short(place) or words.partition(":")[0] for place, words in faults]
            at = f", {data['errorCode']} {' '.join(places[:1])}".rstrip()
            yield f"{id_} rejected: {became[id_]}{at}".lstrip()


def _short(place: str) -> str:
    """The end of a long pointer: in full it could be taken for a key."""
    names = place.split("/")
    return place if len(names) < _DEEP else "/".join(["...", *names[-2:]])


def _unexpected(delivery: Delivery, became: Mapping[str, str], told: Mapping[str, Any]) -> str:
    """What came instead, with every fault."""
    got = []
    for id_, data in told.items():
        faults = [f"{place} {words};" for place, words in data.get("info", {}).items()]
        words = [id_, became[id_], str(data.get("message", "")), *faults]
        got.append(" ".join(filter(None, words)).rstrip(";"))
    wanted = [f"{id_} {ending}".lstrip() for id_, ending in delivery.expected.items()]
    return f"expected {', '.join(wanted)}; got {', '.join(got)}"


def _first(scene: Scene) -> str:
    done = (result for result in scene.results if result.event["data"]["status"] == SUCCEEDED)
    first = next(done, None)
    if first is None:
        raise NothingToShowError("no message succeeded")
    data = " ".join(f"{name}={value}" for name, value in first.event["data"].items())
    return f"CloudEvent of correlation_id {first.correlation_id}: {data}"
