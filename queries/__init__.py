"""One .sql file per question; names that begin with an underscore are internal."""

from __future__ import annotations

import os

_FOLDER = os.path.dirname(__file__)


def names() -> list[str]:
    """All files by name, without their ending, in alphabetical order."""
    return sorted(name.removesuffix(".sql") for name in os.listdir(_FOLDER) if name.endswith(".sql"))


def text(name: str) -> str:
    with open(os.path.join(_FOLDER, f"{name}.sql"), encoding="utf-8") as file:
        return file.read()
