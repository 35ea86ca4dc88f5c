"""The examples in docs/local.md work."""

import re
import subprocess
import sys
from pathlib import Path

from local.stack import ROOT, Stack

GUIDE = (ROOT / "docs" / "local.md").read_text()
BROKER = "sb://127.0.0.1:5672"


def test_example_message_gets_a_result(stack: Stack, tmp_path: Path) -> None:
    """The example script sends a request to the app and prints its result."""
    blocks = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    (script,) = (block for block in blocks if "azure.servicebus" in block)
    assert BROKER in script
    local_script = script.replace(BROKER, f"sb://127.0.0.1:{stack.broker.port}")
    (tmp_path / "send.py").write_text(local_script)
    stack.broker.reset()

    printed = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, tmp_path / "send.py"],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    )

    assert printed.stdout.startswith("erp-4711 ")
    assert '"status":"succeeded","registrationId":"press-0117"' in printed.stdout
