"""Runs the chapters, and says how it went."""

import time
from collections import Counter
from collections.abc import Sequence

from local.demo.chapters import chapters
from local.demo.checks import reason
from local.demo.examples import Examples
from local.demo.scene import Scene, opened
from local.demo.steps import Chapter, NothingToShowError, Step
from local.demo.table import Table


def play(examples: Examples, table: Table) -> bool:
    """Whether every step did what it should."""
    started = time.perf_counter()
    with opened(examples) as scene:
        _introduce(scene, table)
        tally = _play(chapters(scene), table)
        calls = scene.calls()
    seconds = time.perf_counter() - started
    table.title(
        f"{tally.total()} steps in {seconds:.1f} s: {tally['ok']} ok, {tally['failed']} failed"
        + (f", {tally['skipped']} with nothing to show" if tally["skipped"] else "")
        + f". DPS saw {calls} calls."
    )
    table.line(
        "With your own files: .venv/bin/python -m local.demo --examples DIR. By hand: make run"
    )
    return not tally["failed"]


def _introduce(scene: Scene, table: Table) -> None:
    examples = scene.examples
    table.line("All of this runs on this machine, each part over real sockets:")
    table.line("  clients  the SDK azure-iot-deviceprovisioning, sync and aio; plain HTTP")
    table.line(f"  -> app   {scene.app_url}, asking for a function key made for this run")
    table.line("  clients  the SDK azure-servicebus")
    table.line(
        f"  -> queue amqp://127.0.0.1:{scene.broker.port}, a broker that starts empty -> app"
    )
    table.line(f"  -> DPS   {scene.dps_url}, a stand-in that starts empty")
    table.line(
        f"  files    {len(examples.enrollments)} enrollments, {len(examples.groups)} groups, "
        f"{len(examples.bulk)} bulk operations, {len(examples.fleets)} fleets, "
        f"{len(examples.messages)} messages"
    )
    table.head()


def _play(parts: Sequence[Chapter], table: Table) -> Counter[str]:
    tally: Counter[str] = Counter()
    total = sum(len(part.steps) for part in parts)
    for part in parts:
        table.title(part.title)
        for step in part.steps:
            place = f"{tally.total() + 1:>{len(str(total))}}/{total}"
            tally[_run(step, f"{place:>5}", table)] += 1
    return tally


def _run(step: Step, place: str, table: Table) -> str:
    table.begin(place, step)
    started = time.perf_counter()
    try:
        outcome, text = "ok", step.run()
    except NothingToShowError as nothing:
        outcome, text = "skipped", str(nothing)
    except Exception as error:  # noqa: BLE001 - whatever it is: a row says so, and others follow
        outcome, text = "failed", reason(error)
    table.row(place, step, outcome=outcome, text=text, seconds=time.perf_counter() - started)
    return outcome
