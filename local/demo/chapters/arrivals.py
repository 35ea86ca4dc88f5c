"""Messages when things are not as usual: many at a time, a DPS that is out of quota, a lost lock."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from azure.servicebus import ServiceBusMessage

from local.demo.chapters.messages import sound
from local.demo.checks import answer, expect
from local.demo.deliveries import REQUESTS, SUCCEEDED
from local.demo.queues import WITHIN, message
from local.demo.scene import Scene
from local.demo.steps import Step, UnexpectedError, Via
from local.servicebus import Step as BrokerStep
from local.servicebus.amqp.errors import Condition

TOGETHER = 50
A_CALL = 10  # what DPS takes at once
# The call that was refused had taken what had come by then; the others could wait to be full.
MOST_CALLS = TOGETHER // A_CALL + 2
LOCK_SECONDS = 60
TWICE = "demo-twice"

OUT_OF_QUOTA = {
    "match": {"method": "POST", "path": "^/enrollments$"},
    "do": {"status": 429, "headers": {"Retry-After": "1"}},
}


def steps(scene: Scene) -> list[Step]:
    """Both need the broker's or the stand-in's help; what is shown is the app's doing."""
    return [
        Step(Via.QUEUE, f"{TOGETHER} creates, while DPS answers 429", partial(_together, scene)),
        Step(Via.QUEUE, "a create that is delivered twice", partial(_twice, scene)),
    ]


def _together(scene: Scene) -> str:
    """Until all are there DPS refuses what comes, so that all of them wait for the same moment."""
    ids = [f"demo-together-{number}" for number in range(TOGETHER)]
    before, refused = scene.calls(), _refusals(scene)
    _wait_until_done(scene)
    _order(scene, OUT_OF_QUOTA)
    try:
        scene.run(scene.queues.send(REQUESTS, *map(_create, ids)))
        _until(lambda: scene.broker.queue(REQUESTS).locked == TOGETHER)
    finally:
        _order(scene)
    results = scene.run(scene.queues.results_of(ids, TOGETHER))
    expect("statuses", {sound(result)["data"]["status"] for result in results}, {SUCCEEDED})
    expect("ids", {result.event["subject"] for result in results}, set(ids))
    refused = _refusals(scene) - refused
    calls = scene.calls() - before - refused
    expect(f"at most {MOST_CALLS} calls", calls <= MOST_CALLS, wanted=True)
    expect("refused calls", refused > 0, wanted=True)
    return f"all succeeded in {calls} calls of DPS, after {refused} with 429"


def _twice(scene: Scene) -> str:
    """The app has done it, but the broker does not hear of it and delivers the message again."""
    _wait_until_done(scene)
    faults = scene.broker.statistics.faults
    scene.broker.refuse(BrokerStep.REQUEST, Condition.MESSAGE_LOCK_LOST, queue=REQUESTS)
    scene.run(scene.queues.send(REQUESTS, _create(TWICE)))
    (first,) = scene.run(scene.queues.results(TWICE))
    etag = _etag(scene)
    _until(lambda: scene.broker.statistics.faults > faults)
    scene.broker.advance(LOCK_SECONDS + 1)
    (second,) = scene.run(scene.queues.results(TWICE))
    statuses = [sound(result)["data"]["status"] for result in (first, second)]
    expect("statuses", statuses, [SUCCEEDED, SUCCEEDED])
    expect("id of the second result", second.message_id, first.message_id)
    expect("etag", _etag(scene), etag)
    return "created once; no conflict; both results have the same id"


def _wait_until_done(scene: Scene) -> None:
    """A result comes before its request is completed, and what is done to that is not meant."""
    queue = partial(scene.broker.queue, REQUESTS)
    _until(lambda: not (queue().active or queue().locked))


def _until(holds: Callable[[], bool]) -> None:
    """Waits for something that happens in another thread; UnexpectedError if it does not."""
    deadline = time.monotonic() + WITHIN
    while not holds():
        if time.monotonic() > deadline:
            raise UnexpectedError(f"waited {WITHIN:.0f} s in vain")
        time.sleep(0.01)


def _create(id_: str) -> ServiceBusMessage:
    enrollment = {"registrationId": id_, "attestation": {"type": "symmetricKey"}}
    return message({"operation": "create", "enrollment": enrollment}, message_id=id_)


def _order(scene: Scene, *faults: Any) -> None:
    scene.dps.put("/_faults", json=list(faults)).raise_for_status()


def _refusals(scene: Scene) -> int:
    return int(scene.stats()["byStatus"].get("429", 0))


def _etag(scene: Scene) -> Any:
    return answer(scene.http.get(f"/enrollments/{TWICE}"))["etag"]
