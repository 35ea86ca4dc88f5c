"""docs/messages.md agrees with the code."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local.servicebus import Broker
from shared.dps.models import BulkMode, Operation
from shared.messaging.messages import Message, Property
from shared.messaging.request_models import KIND_BY_MEMBER, KIND_BY_RECORDS_MEMBER
from shared.messaging.requests import read_request
from shared.settings import ServiceBusSettings
from tests.shared.messaging.samples import EXAMPLES, Peek, example_file

ROOT = Path(__file__).parents[3]

GUIDE = (ROOT / "docs" / "messages.md").read_text()

QUEUE = "enrollment-requests"

PROPERTIES = [value for name, value in vars(Property).items() if name.isupper()]

NAMES = [*Operation, *BulkMode, *KIND_BY_MEMBER, *KIND_BY_RECORDS_MEMBER, *PROPERTIES]


def code_blocks(language: Any) -> Any:
    """Returns the guide's code blocks in a language."""
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def test_guide_has_every_example() -> None:
    """Each example is in the guide as in its file, and there is no other."""
    included = [json.loads(block) for block in code_blocks("json")]
    files = [json.loads(path.read_bytes()) for path in sorted(EXAMPLES.glob("*.json"))]

    assert sorted(map(json.dumps, included)) == sorted(map(json.dumps, files))


@pytest.mark.parametrize("name", dict.fromkeys(NAMES))
def test_guide_has_every_name(name: str) -> None:
    """The guide names operations, modes, members of requests and application properties."""
    assert f"`{name}`" in GUIDE


def test_settings_in_the_guide_exist() -> None:
    """Each setting that the guide names exists."""
    settings = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", GUIDE))

    assert settings
    assert settings <= ServiceBusSettings.fields().keys()


def test_queues_in_the_guide_are_the_defaults() -> None:
    """The table has each queue with its setting."""
    for setting, name in ServiceBusSettings.fields().items():
        default = ServiceBusSettings.model_fields[name].default
        if setting.endswith("_QUEUE"):
            assert f"| {f'`{default}`' if default else 'none unless set'} | `{setting}` |" in GUIDE


async def test_script_in_the_guide_sends_a_valid_request(
    broker: Broker, peek: Peek, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Python block of the guide is run unchanged."""
    (script,) = code_blocks("python")
    (tmp_path / "send.py").write_text(script)
    broker.add_queue(QUEUE)
    monkeypatch.setenv("ServiceBus", broker.connection_string)

    subprocess.run(  # noqa: S603, ASYNC221  the guide's script; nothing else runs
        [sys.executable, tmp_path / "send.py"],
        cwd=ROOT,
        timeout=60,
        check=True,
    )

    (received,) = await peek(QUEUE)
    body = b"".join(received.body)
    assert body == example_file("create")
    assert (received.message_id, received.content_type) == ("erp-4711", "application/json")
    assert read_request(Message(body=body, queue=QUEUE, sequence_number=1)).id == "press-0117"
