"""
`python -m local.package`: the zip that is deployed, with just what the app needs.

The same sources make the same bytes. Compiled modules go in for one minor of Python, because an app
without them starts three times slower; they are taken unchecked, so a deployment that changes file
times does not spoil them (PEP 552).
"""

import argparse
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from local.stack import ROOT

CONTENTS = (
    "allocation.json",
    "function_app.py",
    "functions",
    "host.json",
    "requirements.txt",
    "shared",
)
"""What is deployed, if it is there; of directories their modules."""

_EARLIEST = (1980, 1, 1, 0, 0, 0)  # a zip knows no earlier time

# Run by the Python that the modules are for; a module's name goes in without where it lies here.
_COMPILE = """
import py_compile, sys
from importlib.util import cache_from_source
root, *names = sys.argv[1:]
for name in names:
    py_compile.compile(f"{root}/{name}", cfile=f"{root}/{cache_from_source(name)}", dfile=name,
                       doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
"""


def build(
    target: Path,
    *,
    python: str = sys.executable,
    root: Path = ROOT,
    include: Iterable[str] = (),
) -> Path:
    """Writes the package of the app in `root`, with modules compiled by `python`; gives `target`."""
    names = sources(root, include)
    with tempfile.TemporaryDirectory() as directory:
        staged = Path(directory)
        for name in names:
            (staged / name).parent.mkdir(parents=True, exist_ok=True)
            (staged / name).write_bytes((root / name).read_bytes())
        modules = [str(name) for name in names if name.suffix == ".py"]
        subprocess.run(  # noqa: S603  the Python that was named
            [python, "-c", _COMPILE, directory, *modules], check=True, timeout=120
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        packed = (file for file in staged.rglob("*") if file.is_file())
        _write(target, staged, sorted(file.relative_to(staged) for file in packed))
    return target


def sources(root: Path, include: Iterable[str] = ()) -> list[Path]:
    """
    The files that are deployed, relative to `root`; `include` names more of them.

    ValueError for a link: what it leads to is none of the app's.
    """
    found: list[Path] = []
    for name in sorted({*CONTENTS, *include}):
        start = root / name
        found += sorted(start.rglob("*.py")) if start.is_dir() else [start] * start.exists()
    links = [file for file in found if file.is_symlink()]
    if links:
        raise ValueError(f"links are not packed: {', '.join(map(str, links))}")
    return [file.relative_to(root) for file in found]


def _write(target: Path, root: Path, names: Iterable[Path]) -> None:
    with zipfile.ZipFile(target, "w") as package:
        for name in names:
            entry = zipfile.ZipInfo(name.as_posix(), _EARLIEST)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            package.writestr(entry, (root / name).read_bytes(), compresslevel=9)


def main() -> int:
    """The command line; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.package", description=__doc__)
    parser.add_argument("--target", type=Path, default=ROOT / "dist" / "app.zip")
    parser.add_argument("--python", default=sys.executable, help="whose minor is compiled for")
    parser.add_argument(
        "--include",
        nargs="*",
        default=(),
        help="files and directories of your own: other allocation policies, or their modules",
    )
    arguments = parser.parse_args()
    package = build(arguments.target, python=arguments.python, include=arguments.include)
    print(f"{package}, {package.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
