"""A recorded trace tiled to a size, and what is kept of it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Contender, by_turns

PYTHON = sys.executable
REPLAY = str(Path(sys.executable).with_name("replay"))
ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).parent.parent)}


@dataclass(frozen=True, slots=True)
class Size:
    """A tiled trace, and the store that it is ingested into."""

    events: int
    trace: Path
    store: Path

    def replay(self, *arguments: str) -> list[str]:
        return [REPLAY, "--store", str(self.store), *arguments]

    def forget(self, what: str) -> None:
        """Remove the whole store (""), or its runs."""
        shutil.rmtree(self.store / what, ignore_errors=True)


def prepare(command: Sequence[str]) -> None:
    """Run a command that nobody measures."""
    by_turns([Contender(f"preparing {command[-1]}", command)], 1, ENVIRONMENT)


def tiled(work: Path, source: str, events: int, *options: str) -> Size:
    """The trace tiled to at least so many events, made unless it is there."""
    name = "".join([Path(source).stem, f"-{events}", *options])
    target = work / f"{name}.dat"
    if not target.exists():
        prepare([PYTHON, "-m", "bench.tile", *options, source, str(target), "--events", str(events)])
    return Size(events, target, work / f"{name}.store")
