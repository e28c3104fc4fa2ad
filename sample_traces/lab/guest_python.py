"""Copies this project and what its command line needs into a folder, for a Python that has no more than its standard library.

python guest_python.py FOLDER
"""

from __future__ import annotations

import re
import shutil
import sys
from importlib.metadata import distribution
from pathlib import Path

import replay
from replay import _ext, ingest


def needed(name: str, found: dict[str, None]) -> dict[str, None]:
    """A distribution and, unless they belong to an extra, those that it requires."""
    if name not in found:
        found[name] = None
        for requirement in distribution(name).requires or ():
            if ";" not in requirement:
                needed(re.split(r"[^\w.-]", requirement)[0], found)
    return found


def copy(folder: Path) -> None:
    for package, place in ((replay, "replay"), (ingest, "replay/ingest"), (_ext, "replay/_ext")):
        shutil.copytree(Path(str(package.__file__)).parent, folder / place, dirs_exist_ok=True)
    for name in needed("typer", {}):
        for file in distribution(name).files or ():
            if ".." not in file.parts:
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(file.locate()), folder / file)


if __name__ == "__main__":
    copy(Path(sys.argv[1]))
