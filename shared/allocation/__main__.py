"""
`python -m shared.allocation FILE` names every fault of a policy file, and what is odd in it.

`--schema` prints the JSON Schema of such files instead. Exits with 1 if there is a fault.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from shared.allocation.files import check, parsed
from shared.allocation.findings import Finding
from shared.allocation.schema import schema


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    reader = argparse.ArgumentParser(prog="python -m shared.allocation", description=__doc__)
    what = reader.add_mutually_exclusive_group(required=True)
    what.add_argument("file", nargs="?", type=Path, help="a policy file")
    what.add_argument("--schema", action="store_true", help="print the JSON Schema")
    given = reader.parse_args(arguments)
    if given.schema:
        sys.stdout.write(json.dumps(schema(), indent=2, ensure_ascii=False) + "\n")
        return 0
    try:
        body = given.file.read_bytes()
    except OSError as error:
        reader.error(f"{given.file} cannot be read: {error.strerror}")
    return _check(given.file, body)


def _check(path: Path, body: bytes) -> int:
    faults = check(body)
    warnings = () if faults else parsed(body).warnings
    for kind, findings in (("fault", faults), ("warning", warnings)):
        sys.stdout.writelines(_line(path, kind, finding) for finding in findings)
    sys.stdout.write(f"{path}: {len(faults)} faults, {len(warnings)} warnings\n")
    return 1 if faults else 0


def _line(path: Path, kind: str, finding: Finding) -> str:
    line = f":{finding.line}" if finding.line else ""
    place = f" {finding.place}" if finding.place else ""
    return f"{path}{line}: {kind}:{place} {finding.words}\n"


if __name__ == "__main__":
    sys.exit(main())
