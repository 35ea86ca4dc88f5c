"""The function key, and whether the app is ready."""

from functools import partial

from local.demo.checks import answer, expect
from local.demo.scene import Scene
from local.demo.steps import Step, Via


def steps(scene: Scene) -> list[Step]:
    """Before anything is written."""
    return [
        Step(Via.HTTP, "GET health/live, without a key", partial(_live, scene)),
        Step(Via.HTTP, "GET health/ready", partial(_ready, scene)),
        Step(Via.HTTP, "PUT an enrollment, without a key", partial(_no_key, scene)),
        Step(Via.HTTP, "PUT an enrollment, with a wrong key", partial(_wrong_key, scene)),
    ]


def _live(scene: Scene) -> str:
    expect("status", answer(scene.stranger.get("/health/live"))["status"], "live")
    return "live"


def _ready(scene: Scene) -> str:
    expect("status", answer(scene.http.get("/health/ready"))["status"], "ready")
    return "ready: settings are right, DPS answers"


def _no_key(scene: Scene) -> str:
    return _turned_away(scene, {})


def _wrong_key(scene: Scene) -> str:
    return _turned_away(scene, {"x-functions-key": "wrong"})


def _turned_away(scene: Scene, headers: dict[str, str]) -> str:
    example = scene.examples.enrollments[0].document
    before = scene.calls()
    path = f"/enrollments/{example['registrationId']}"
    answer(scene.stranger.put(path, json=example, headers=headers), 401)
    expect("calls of DPS", scene.calls() - before, 0)
    return "401, DPS is not asked"
