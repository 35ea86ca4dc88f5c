"""docs/local.md says what works."""

import re
import subprocess
import sys

from local.stack import ROOT, Stack

GUIDE = (ROOT / "docs" / "local.md").read_text()
BROKER = "sb://127.0.0.1:5672"


def test_message_of_the_guide_is_answered(stack: Stack, tmp_path):
    """What people are told to paste sends a request to the app and prints its result."""
    blocks = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    (script,) = (block for block in blocks if "azure.servicebus" in block)
    assert BROKER in script
    here = script.replace(BROKER, f"sb://127.0.0.1:{stack.broker.port}")
    (tmp_path / "send.py").write_text(here)
    stack.broker.reset()

    printed = subprocess.run(  # noqa: S603  our own
        [sys.executable, tmp_path / "send.py"],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    )

    assert printed.stdout.startswith("erp-4711 ")
    assert '"status":"succeeded","registrationId":"press-0117"' in printed.stdout
