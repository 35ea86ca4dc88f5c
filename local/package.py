"""
`python -m local.package`: builds the zip package to deploy, with only the files the app needs.

The build is reproducible: the same sources give the same bytes. The package holds compiled modules
for one minor version of Python, because without them the app starts three times slower. They are
unchecked hash-based .pyc files (PEP 552), so a deployment that changes file times does not
invalidate them.
"""

import argparse
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from local import swagger_ui
from local.stack import ROOT

CONTENTS = (
    "allocation.json",
    "function_app.py",
    "functions",
    "host.json",
    "requirements.txt",
    "shared",
)
"""The files to deploy, if they exist; of a directory, the files with these suffixes."""
_SUFFIXES = {".py", ".json", ".html", ".css", ".js"}

_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip file can hold

# Run by the Python that the modules are for. `dfile` keeps this machine's paths out of them.
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
    """Writes the package of the app in `root`, compiled by `python`; returns `target`."""
    names = sources(root, include)
    with tempfile.TemporaryDirectory() as directory:
        staged = Path(directory)
        for name in names:
            (staged / name).parent.mkdir(parents=True, exist_ok=True)
            (staged / name).write_bytes((root / name).read_bytes())
        modules = [str(name) for name in names if name.suffix == ".py"]
        subprocess.run(  # noqa: S603 - the given Python
            [python, "-c", _COMPILE, directory, *modules], check=True, timeout=120
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        files = (file for file in staged.rglob("*") if file.is_file())
        _write(target, staged, sorted(file.relative_to(staged) for file in files))
    return target


def sources(root: Path, include: Iterable[str] = ()) -> list[Path]:
    """
    Returns the files to deploy, relative to `root`; `include` adds files and directories.

    Raises ValueError for a symbolic link, because its target may not belong to the app.
    """
    files: list[Path] = []
    for name in sorted({*CONTENTS, *include}):
        start = root / name
        inside = (file for file in sorted(start.rglob("*")) if file.suffix in _SUFFIXES)
        files += inside if start.is_dir() else [start] * start.exists()
    links = [file for file in files if file.is_symlink()]
    if links:
        raise ValueError(f"symbolic links cannot be packed: {', '.join(map(str, links))}")
    return [file.relative_to(root) for file in files]


def _write(target: Path, root: Path, names: Iterable[Path]) -> None:
    with zipfile.ZipFile(target, "w") as package:
        for name in names:
            entry = zipfile.ZipInfo(name.as_posix(), _EARLIEST)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            package.writestr(entry, (root / name).read_bytes(), compresslevel=9)


def main() -> int:
    """Builds the package as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.package", description=__doc__)
    parser.add_argument(
        "--target", type=Path, default=ROOT / "dist" / "app.zip", help="default %(default)s"
    )
    parser.add_argument(
        "--python",
        default=sys.executable,
        help="the Python whose minor version the modules are compiled for",
    )
    parser.add_argument(
        "--include",
        nargs="*",
        default=(),
        help="further files and directories, such as allocation policies and their modules",
    )
    arguments = parser.parse_args()
    swagger_ui.copy()
    package = build(arguments.target, python=arguments.python, include=arguments.include)
    print(f"{package}, {package.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
