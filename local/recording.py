"""
`python -m local.recording FILE.svg`: records the command line at work, as a picture.

It runs the commands in a terminal against a stack of its own, in which DPS takes its time, and
draws what the terminal shows at the end.
"""

import argparse
import io
import os
import pty
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from local.dps import Options
from local.stack import ROOT, Stack
from local.threads import in_thread

_WIDTH = 108
_BLOCK = 4096
_EXAMPLES = ROOT / "examples" / "cli"
# What people type, and the options that follow.
_COMMANDS = (
    "check presses.csv --profile erp.toml",
    "plan presses.csv --mode create --profile erp.toml",
    "apply presses.csv --mode create --profile erp.toml --keys keys.csv --failures failed.csv",
    "export --tag plant=Lyon -o lyon.csv",
)
_CONTROL = re.compile(
    r"\x1b\[(?P<count>\d*)(?P<action>[AK])|\x1b\[\?25[lh]|(?P<end>\r?\n)|(?P<start>\r)"
)


def main() -> None:
    """Writes the picture."""
    parser = argparse.ArgumentParser(prog="python -m local.recording", description=__doc__)
    parser.add_argument("file", type=Path, help="the SVG file to write")
    file: Path = parser.parse_args().file
    stack = Stack(Options(port=0, tls_port=None, bulk_ms=100), functions_port=0)
    console = Console(record=True, width=_WIDTH, file=io.StringIO(), highlight=False)
    with tempfile.TemporaryDirectory() as directory, in_thread(stack):
        for name in ("presses.csv", "erp.toml"):
            (Path(directory) / name).write_bytes((_EXAMPLES / name).read_bytes())
        for command in _COMMANDS:
            console.print(Text(f"$ python -m cli {command}", style="bold"))
            for line in _screen(_run(command, Path(directory), stack.host.url)):
                console.print(Text.from_ansi(line))
            console.print()
    # The same picture for the same output.
    # The font of rich's own format is loaded from elsewhere; the fallback is monospace.
    code_format = re.sub(r" *@font-face {{.*?}}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    text = console.export_svg(title="python -m cli", unique_id="cli", code_format=code_format)
    file.write_text(text, encoding="utf-8")


def _run(command: str, directory: Path, url: str) -> str:
    """Runs a command in a terminal, and returns what it writes there."""
    ours, theirs = pty.openpty()
    variables = {"ENROLLMENT_URL": url, "PYTHONPATH": str(ROOT), "COLUMNS": str(_WIDTH)}
    process = subprocess.Popen(  # noqa: S603  our own Python and our own module
        [sys.executable, "-m", "cli", *command.split()],
        cwd=directory,
        env=os.environ | variables | {"TERM": "xterm-256color"},  # noqa: TID251  a process inherits it
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    written = b"".join(_read(ours))
    os.close(ours)
    process.wait()
    return written.decode()


def _read(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            block = os.read(terminal, _BLOCK)
        except OSError:  # Linux's end of a terminal
            return
        if not block:
            return
        yield block


def _screen(written: str) -> list[str]:
    """Returns the lines that a terminal shows after what was written, with their colours."""
    lines, row, position = [""], 0, 0
    for control in [*_CONTROL.finditer(written), None]:
        text = written[position : control.start() if control else None]
        lines[row] += text
        if control is None:
            break
        position = control.end()
        if control["end"]:
            row += 1
            lines += [""] * (row - len(lines) + 1)
        elif control["action"] == "A":
            row = max(0, row - int(control["count"] or 1))
        elif control["action"] == "K" or control["start"]:
            # rich writes a line anew after it returns to its start.
            lines[row] = ""
    return lines[:-1] if not lines[-1] else lines


if __name__ == "__main__":
    main()
