"""Enrollment groups with the SDK."""

from functools import partial

from local.demo.chapters import records
from local.demo.scene import Scene
from local.demo.steps import Step, Via


def steps(scene: Scene) -> list[Step]:
    """One to create each, then what can be done with them."""
    on, written = scene.sdk.enrollment_group, scene.groups
    creations = [
        Step(Via.SDK, f"create {id_}", partial(records.create, on, id_, document, written))
        for document in (example.document for example in scene.examples.groups)
        for id_ in [document["enrollmentGroupId"]]
    ]
    return [
        *creations,
        Step(Via.SDK, "get every one of them", partial(records.read_back, on, written)),
        Step(
            Via.SDK,
            "read keys by attestation mechanism",
            partial(records.attestation_mechanisms, on, written),
        ),
    ]
