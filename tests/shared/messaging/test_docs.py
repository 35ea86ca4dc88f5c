"""docs/messages.md says what the code does."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from local.servicebus import Broker
from shared.dps.models import BulkMode, Operation
from shared.messaging import messages
from shared.messaging.envelopes import KIND_OF, KIND_OF_RECORDS
from shared.messaging.messages import Message
from shared.messaging.requests import read_request
from shared.settings import MessagingSettings
from tests.shared.messaging.incoming import EXAMPLES, example

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "messages.md").read_text()
QUEUE = "enrollment-requests"
PROPERTIES = [value for name, value in vars(messages).items() if name.isupper()]
WORDS = [*Operation, *BulkMode, *KIND_OF, *KIND_OF_RECORDS, *PROPERTIES]


def blocks(language):
    """The guide's blocks of code in a language."""
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def test_every_example_is_in_the_guide_as_it_is_in_its_file():
    """And the guide shows no other; those of requests are known to be sound, and those of results true."""
    shown = [json.loads(block) for block in blocks("json")]
    files = [json.loads(path.read_bytes()) for path in sorted(EXAMPLES.glob("*.json"))]

    assert sorted(map(json.dumps, shown)) == sorted(map(json.dumps, files))


@pytest.mark.parametrize("word", dict.fromkeys(WORDS))
def test_every_word_of_a_message_is_in_the_guide(word):
    """Operations, modes, what a request is about, and the properties of a rejected message."""
    assert f"`{word}`" in GUIDE


def test_settings_of_the_guide_are_settings():
    """None was renamed and left over here."""
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", GUIDE))

    assert named
    assert named <= MessagingSettings.fields().keys()


def test_queues_of_the_guide_are_the_defaults():
    """The table names each queue with its setting."""
    for setting, name in MessagingSettings.fields().items():
        default = MessagingSettings.model_fields[name].default
        if setting.endswith("_QUEUE"):
            assert f"| {f'`{default}`' if default else 'none unless set'} | `{setting}` |" in GUIDE


async def test_first_message_of_the_guide_is_sent(broker: Broker, look, tmp_path, monkeypatch):
    """What the guide tells people to copy puts a good request into the queue."""
    (script,) = blocks("python")
    (tmp_path / "send.py").write_text(script)
    broker.add_queue(QUEUE)
    monkeypatch.setenv("ServiceBus", broker.connection_string)

    subprocess.run(  # noqa: S603, ASYNC221  our own, and nothing else goes on
        [sys.executable, tmp_path / "send.py"],
        cwd=ROOT,
        timeout=60,
        check=True,
    )

    (found,) = await look(QUEUE)
    assert b"".join(found.body) == example("create")
    assert (found.message_id, found.content_type) == ("erp-4711", "application/json")
    body = b"".join(found.body)
    assert read_request(Message(body=body, queue=QUEUE, sequence_number=1)).id == "press-0117"
