"""
`python -m local.swagger_ui`: copies the files of Swagger UI to where the app serves them.

They come from a development dependency, are not in the repository, and are part of the package.
"""

import shutil
import sys
from importlib.resources import files
from pathlib import Path

from local.stack import ROOT

TARGET = ROOT / "functions" / "pages"
FILES = ("swagger-ui.css", "swagger-ui-bundle.js")


def copy() -> None:
    """Copies the files."""
    source = next(Path(str(files("swagger_ui_bundle"))).glob("vendor/swagger-ui-*"))
    for name in FILES:
        shutil.copyfile(source / name, TARGET / name)


if __name__ == "__main__":
    copy()
    sys.exit(0)
