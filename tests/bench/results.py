"""The figures of a run of the benchmarks: as a table, beside those of the last run of the same size, and as JSON."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import Readings

_HEADS = ("work", "ours", "peer", "", "ratio", "goal", "spread", "peak memory", "before")
# Beside these a figure of before says nothing about the program.
_SAME = ("trace", "events", "cpu", "cores")


@dataclass(frozen=True, slots=True)
class Row:
    """Ours against a peer; without one, against a goal in seconds."""

    work: str
    ours: Readings
    peer: str
    other: Readings | None
    goal: str

    @property
    def ratio(self) -> float | None:
        return self.ours.median / self.other.median if self.other and self.other.median else None

    def record(self) -> dict[str, Any]:
        return {
            "work": self.work,
            "peer": self.peer,
            "goal": self.goal,
            "seconds": self.ours.median,
            "readings": self.ours.seconds,
            "peak_bytes": self.ours.peak_bytes,
            "peer_seconds": self.other.median if self.other else None,
            "peer_readings": self.other.seconds if self.other else None,
            "ratio": self.ratio,
        }


def machine() -> dict[str, Any]:
    """Where and with what this was measured."""
    info = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*:\s*(.+)", info.read_text() if info.exists() else "")
    return {
        "cpu": model[1] if model else platform.processor(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "commit": _commit(),
    }


def _commit() -> str | None:
    try:
        found = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def save(folder: Path, subject: Mapping[str, Any], rows: Sequence[Row]) -> Path:
    """Keep them as the next in number."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{len(_kept(folder)) + 1:04}.json"
    path.write_text(json.dumps({**subject, "rows": [row.record() for row in rows]}, indent=1) + "\n")
    return path


def compare(folder: Path, subject: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """The table. `before` is ours of the last run on the same trace, size and machine, as a factor of what it was."""
    previous = _previous(folder, subject)
    lines = [_line(row, previous.get((row.work, row.peer))) for row in rows]
    widths = [max(map(len, column)) for column in zip(_HEADS, *lines, strict=True)]
    to_right = [head not in ("work", "peer", "goal") for head in _HEADS]
    texts = []
    for line in (_HEADS, tuple("-" * width for width in widths), *lines):
        cells = zip(line, widths, to_right, strict=True)
        texts.append("  ".join(cell.rjust(width) if right else cell.ljust(width) for cell, width, right in cells))
    return "".join(text.rstrip() + "\n" for text in texts)


def _line(row: Row, before: float | None) -> tuple[str, ...]:
    return (
        row.work,
        _seconds(row.ours.median),
        row.peer,
        _seconds(row.other.median) if row.other else "",
        f"{row.ratio:.3g}" if row.ratio is not None else "",
        row.goal,
        f"{row.ours.spread:.0%}",
        f"{row.ours.peak_bytes / (1 << 20):,.0f} MiB",
        f"x {row.ours.median / before:.2f}" if before else "",
    )


def _seconds(value: float) -> str:
    return f"{value:.3f} s" if value < 10 else f"{value:.1f} s"


def _kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.json"))


def _previous(folder: Path, subject: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    for path in reversed(_kept(folder)):
        kept = json.loads(path.read_text())
        if all(kept.get(name) == subject[name] for name in _SAME):
            return {(row["work"], row["peer"]): row["seconds"] for row in kept["rows"]}
    return {}
