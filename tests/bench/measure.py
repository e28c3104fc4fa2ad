"""Times commands against each other: by turns, so that whatever else the machine does meets all of them alike."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

# wall and cpu: of the process and its children; printed: the command says it itself, as "N seconds" or "N MQPS".
Clock = Literal["wall", "cpu", "printed"]
_UNITS = {"k": 1_000, "K": 1_000, "M": 1_000_000, "G": 1_000_000_000}
_SECONDS = re.compile(r"([\d.]+) seconds")
_RATE = re.compile(r"throughput ([\d.]+) MQPS")


def event_count(text: str) -> int:
    """20M is 20 million."""
    unit = _UNITS.get(text[-1:], 0)
    return int(float(text[:-1]) * unit) if unit else int(text)


@dataclass(frozen=True, slots=True)
class Contender:
    """A command, and what must be done before each time. `work` turns a printed rate into seconds; `scale` multiplies seconds."""

    name: str
    command: Sequence[str]
    clock: Clock = "wall"
    before: Callable[[], None] = lambda: None
    work: int = 0
    scale: float = 1.0


@dataclass(slots=True)
class Readings:
    """Seconds of each round, and the most memory that any of them took."""

    seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """From the fastest to the slowest, as a share of the median."""
        return (max(self.seconds) - min(self.seconds)) / self.median if self.median else 0.0


class FailedError(Exception):
    """A command that is measured did not work."""


def by_turns(contenders: Sequence[Contender], rounds: int, environment: Mapping[str, str]) -> list[Readings]:
    """Measure all of them, `rounds` times over."""
    readings = [Readings() for _ in contenders]
    for number in range(rounds):
        for contender, found in zip(contenders, readings, strict=True):
            sys.stderr.write(f"\r\x1b[K{contender.name} ({number + 1}/{rounds})" if sys.stderr.isatty() else "")
            contender.before()
            seconds, peak_bytes = _once(contender, environment)
            found.seconds.append(seconds * contender.scale)
            found.peak_bytes = max(found.peak_bytes, peak_bytes)
    sys.stderr.write("\r\x1b[K" if sys.stderr.isatty() else "")
    return readings


def _once(contender: Contender, environment: Mapping[str, str]) -> tuple[float, int]:
    printed = contender.clock == "printed"
    out, error = (subprocess.PIPE, subprocess.STDOUT) if printed else (subprocess.DEVNULL, subprocess.PIPE)
    begin = time.perf_counter()
    with subprocess.Popen(contender.command, stdout=out, stderr=error, env={**os.environ, **environment}) as process:
        stream = process.stdout or process.stderr
        output = stream.read().decode(errors="replace") if stream else ""
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise FailedError(f"{' '.join(contender.command)}: exit status {process.returncode}\n{output[-2000:]}")
    seconds = {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime}.get(contender.clock)
    return _printed(contender, output) if seconds is None else seconds, usage.ru_maxrss * 1024


def _printed(contender: Contender, output: str) -> float:
    if match := _SECONDS.search(output):
        return float(match[1])
    if match := _RATE.search(output):
        return contender.work / (float(match[1]) * 1e6)
    raise FailedError(f"{' '.join(contender.command)}: printed no time\n{output[-2000:]}")
