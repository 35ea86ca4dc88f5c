"""
Checks a policy file: `python -m shared.allocation FILE` prints its faults and warnings.

`--schema` prints the JSON Schema of policy files instead. Exits with 1 if there is a fault.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from shared.allocation.policy_file.load import parse_policies
from shared.allocation.policy_file.schema import create_schema
from shared.allocation.policy_file.validate import Diagnostic, validate


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m shared.allocation", description=__doc__)
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("file", nargs="?", type=Path, help="a policy file")
    group.add_argument("--schema", action="store_true", help="print the JSON Schema")
    options = parser.parse_args(arguments)
    if options.schema:
        sys.stdout.write(json.dumps(create_schema(), indent=2, ensure_ascii=False) + "\n")
        return 0
    try:
        body = options.file.read_bytes()
    except OSError as error:
        parser.error(f"{options.file} cannot be read: {error.strerror}")
    return _check(options.file, body)


def _check(path: Path, body: bytes) -> int:
    faults = validate(body)
    warnings = () if faults else parse_policies(body).warnings
    for kind, diagnostics in (("fault", faults), ("warning", warnings)):
        sys.stdout.writelines(_format(path, kind, diagnostic) for diagnostic in diagnostics)
    sys.stdout.write(f"{path}: {len(faults)} faults, {len(warnings)} warnings\n")
    return 1 if faults else 0


def _format(path: Path, kind: str, diagnostic: Diagnostic) -> str:
    line = f":{diagnostic.line}" if diagnostic.line else ""
    location = f" {diagnostic.pointer}" if diagnostic.pointer else ""
    return f"{path}{line}: {kind}:{location} {diagnostic.message}\n"


if __name__ == "__main__":
    sys.exit(main())
