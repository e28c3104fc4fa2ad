"""The programs that record, trace-cmd and perf: which one there is, and how it is called."""

from __future__ import annotations

import shlex
import shutil
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from replay.errors import ReplayError
from replay.ingest.tracecmd import map_file
from replay.ingest.tracedat import read_overruns
from replay.probes import GROUP
from replay.recordplan import Plan

RECORDERS = ("trace-cmd", "perf")
BUFFER_KB = 8192
# PERF_RECORD_LOST (id, lost) and PERF_RECORD_LOST_SAMPLES (lost): where the number stands in the record.
_PERF_LOST = {2: 16, 13: 8}
_PACKAGES = "Debian: apt install trace-cmd, or linux-perf"


@dataclass(frozen=True, slots=True)
class Request:
    """What `replay record` is asked to do. Without a command, a process or a duration it records until it is interrupted."""

    command: Sequence[str] = ()
    everything: bool = False
    seconds: float | None = None
    pid: int | None = None
    output: str | None = None
    buffer_kb: int = BUFFER_KB
    recorder: str | None = None
    dry_run: bool = False

    @property
    def lasting(self) -> list[str]:
        """The command that lasts as long as the recording shall, which the recorder runs."""
        if self.command:
            return list(self.command)
        if self.pid is not None:
            return [*(["timeout", f"{self.seconds:g}"] if self.seconds else []), "tail", f"--pid={self.pid}", "-f", "/dev/null"]
        return ["sleep", f"{self.seconds:g}"] if self.seconds else []


def choose_recorder(wanted: str | None, dry_run: bool) -> str:
    """The wanted one, else the first that is installed. Where nothing is to be run, it need not be there."""
    found = next((name for name in ([wanted] if wanted else RECORDERS) if shutil.which(name)), None)
    if found is None and dry_run:
        return wanted or RECORDERS[0]
    if found is None:
        raise ReplayError(f"there is no {wanted}" if wanted else "there is neither trace-cmd nor perf", hint=_PACKAGES)
    return found


def output_of(request: Request, recorder: str) -> str:
    return request.output or ("trace.dat" if recorder == "trace-cmd" else "perf.data")


def arguments(request: Request, recorder: str, plan: Plan, clocks: Sequence[str] = ("mono",)) -> list[str]:
    """The command that records what the plan enables, and runs what lasts as long as it shall."""
    groups = [GROUP] if plan.definitions else []
    output = output_of(request, recorder)
    if recorder == "perf":
        events = [f"{group}:*" for group in groups] + plan.tracepoints
        options = ["-q", "-a", "-d", "-k", "CLOCK_MONOTONIC", "-m", f"{_power_of_two(request.buffer_kb)}K", "-o", output]
        return ["perf", "record", *options, *(word for event in events for word in ("-e", event)), *_separated(request.lasting)]
    clock = ["-C", "mono"] if "mono" in clocks else []
    events = groups + plan.tracepoints
    options = ["-q", *clock, "-b", str(request.buffer_kb), "-o", output]
    return ["trace-cmd", "record", *options, *(word for event in events for word in ("-e", event)), *request.lasting]


def lost_events(path: str, recorder: str) -> int:
    """How many events the kernel had no room for, by the file's own account."""
    data = map_file(Path(path))
    return sum(_lost_by_perf(data)) if recorder == "perf" else sum(read_overruns(path, data).values())


def _lost_by_perf(data: memoryview) -> Iterator[int]:
    """perf.data: in the header where the records are; a record has a type, misc, and its size (include/uapi/linux/perf_event.h)."""
    at, size = struct.unpack_from("QQ", data, 40)
    end = min(at + size, len(data))
    while at + 8 <= end:
        kind, _, length = struct.unpack_from("IHH", data, at)
        if kind in _PERF_LOST and at + _PERF_LOST[kind] + 8 <= end:
            yield struct.unpack_from("Q", data, at + _PERF_LOST[kind])[0]
        at += max(length, 8)


def script(plan: Plan, argv: Sequence[str], tracing: Path) -> str:
    """The same as a shell script for root: probes, recording, and the probes' end."""
    where = shlex.quote(str(tracing / "dynamic_events"))
    made = "".join(f"echo {shlex.quote(definition.lines[0])} >> {where}\n" for definition in plan.definitions)
    undone = "".join(f"echo {shlex.quote(f'-:{GROUP}/{definition.event}')} >> {where}\n" for definition in plan.definitions)
    return f"{made}{_folded(argv)}\n{undone}"


def _folded(argv: Sequence[str]) -> str:
    """The command in lines of about 120 characters; an event stays with its -e."""
    lines, line, words = [], "", iter(argv)
    for word in words:
        text = f"-e {shlex.quote(next(words))}" if word == "-e" else shlex.quote(word)
        if line and len(line) + len(text) > 116:
            lines.append(line)
            line = "   "
        line = f"{line} {text}" if line else text
    return " \\\n".join([*lines, line])


def _separated(command: Sequence[str]) -> list[str]:
    return ["--", *command] if command else []


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()
