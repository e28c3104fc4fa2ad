"""FILE.state, which lies beside a trace: what the system was like when recording began. docs/record.md has its schema.

One JSON object a line, so that a file that was cut short still tells what is before the cut.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from replay.errors import TraceError

SUFFIX = ".state"
VERSION = 1
MOST_BYTES = 64 << 20
_MOST_RANGES = 1 << 20
_MOST_ID = 1 << 31
_MINOR_BITS = 20  # dev_t inside of the kernel
_RANGE = re.compile(
    r"([0-9a-f]{1,16})-([0-9a-f]{1,16}) [r-][w-][x-]([ps]) ([0-9a-f]{1,16}) ([0-9a-f]{1,3}):([0-9a-f]{1,5}) (\d{1,20})(?: .*)?"
)
# Of /proc/self/mountinfo: id, parent, major:minor, root, mount point, options, any number of fields, -, type, source, options.
_MOUNT = re.compile(r"\d+ \d+ (\d{1,4}):(\d{1,7}) \S+ \S+ \S+ .*?- \S+ \S+ (\S+)")
_DAX_OPTIONS = frozenset(("dax", "dax=always"))


class Range(NamedTuple):
    """A mapping: addresses, first page of the file, the file's device as the kernel numbers it and its inode (0: none)."""

    start: int
    end: int
    page: int
    device: int
    ino: int
    shared: bool


@dataclass(frozen=True, slots=True)
class Process:
    """A process: its threads, and its mappings as /proc/PID/maps prints them."""

    pid: int
    comm: str
    threads: Sequence[int]
    maps: str


@dataclass(slots=True)
class SystemState:
    """What was there before the trace. `regions` are the objects of `rdma -j res show mr`, None where nobody could ask.

    `skipped` counts processes that were left out for their size; `cut` lines that are not whole.
    """

    uname: str = ""
    recorder: str = ""
    missing: list[dict[str, str]] = field(default_factory=list)
    skipped: int = 0
    mountinfo: str = ""
    regions: list[dict[str, Any]] | None = None
    processes: list[Process] = field(default_factory=list)
    ranges: dict[int, list[Range]] = field(default_factory=dict)
    cut: int = 0

    def dax_devices(self) -> frozenset[int]:
        """Devices whose files are all mapped directly."""
        mounts = (_MOUNT.match(line) for line in self.mountinfo.split("\n"))
        return frozenset(
            int(mount[1]) << _MINOR_BITS | int(mount[2]) for mount in mounts if mount and not _DAX_OPTIONS.isdisjoint(mount[3].split(","))
        )


def state_path(trace: str | os.PathLike[str]) -> str:
    return f"{os.fspath(trace).rstrip('/')}{SUFFIX}"


def write_state(path: str, state: SystemState) -> None:
    """Take the file's place once it is whole. Addresses of other people's processes are for the owner's eyes alone."""
    draft = Path(f"{path}.part-{os.getpid()}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            for record in _records(state):
                file.write(json.dumps(record, separators=(",", ":")) + "\n")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _records(state: SystemState) -> Iterator[dict[str, Any]]:
    head = {"replay_state": VERSION, "uname": state.uname, "recorder": state.recorder, "missing": state.missing, "skipped": state.skipped}
    yield {**head, "mrs_known": state.regions is not None}
    yield {"mountinfo": state.mountinfo}
    yield from ({"mr": region} for region in state.regions or ())
    yield from ({"pid": p.pid, "comm": p.comm, "threads": list(p.threads), "maps": p.maps} for p in state.processes)


def read_state(trace: str) -> SystemState | None:
    """The state beside a trace, None if there is none. TraceError with the byte of the line that cannot be right."""
    path = state_path(trace)
    try:
        if os.stat(path).st_size > MOST_BYTES:
            raise TraceError(path, MOST_BYTES, "a state of so many bytes cannot be right")
        data = Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        if isinstance(error, TraceError):
            raise
        return None
    except OSError as error:
        raise TraceError(path, None, (error.strerror or "cannot be read").lower()) from None
    return parse_state(path, data)


def parse_state(path: str, data: bytes) -> SystemState:
    """The state in these bytes of a file."""
    return _Reader(path).read(data)


class _Reader:
    def __init__(self, path: str) -> None:
        self.path, self.at, self.ranges, self.state = path, 0, 0, SystemState()

    def error(self, what: str) -> TraceError:
        return TraceError(self.path, self.at, what)

    def read(self, data: bytes) -> SystemState:
        for number, line in enumerate(data.splitlines(keepends=True)):
            if not line.endswith(b"\n"):
                self.state.cut += 1
                break
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                raise self.error("expected a JSON object") from None
            if not isinstance(record, dict):
                raise self.error("expected a JSON object")
            if number == 0 and record.get("replay_state") != VERSION:
                raise self.error(f"expected the state of version {VERSION} that replay record writes")
            self._take(record)
            self.at += len(line)
        return self.state

    def _take(self, record: dict[str, Any]) -> None:
        if "replay_state" in record:
            self.state.uname, self.state.recorder = self._text(record, "uname"), self._text(record, "recorder")
            self.state.skipped = self._number(record.get("skipped", 0), "skipped")
            self.state.regions = [] if record.get("mrs_known") is True else None
        elif "mountinfo" in record:
            self.state.mountinfo = self._text(record, "mountinfo")
        elif "mr" in record:
            self._take_region(record["mr"])
        elif "pid" in record:
            self._take_process(record)

    def _take_region(self, region: Any) -> None:
        if not isinstance(region, dict):
            raise self.error("expected an object that tells a memory region")
        if self.state.regions is None:
            self.state.regions = []
        self.state.regions.append(region)

    def _take_process(self, record: dict[str, Any]) -> None:
        pid = self._number(record["pid"], "pid")
        threads = record.get("threads", [])
        if not isinstance(threads, list):
            raise self.error("expected a list of threads")
        process = Process(pid, self._text(record, "comm"), [self._number(tid, "a thread") for tid in threads], self._text(record, "maps"))
        self.state.processes.append(process)
        ranges = self.state.ranges[pid] = []
        last = 0
        # Not splitlines: names of files may hold what else it takes for the end of a line.
        for number, line in enumerate(process.maps.removesuffix("\n").split("\n") if process.maps else (), 1):
            match = _RANGE.fullmatch(line)
            if match is None:
                raise self.error(f"line {number} of the mappings of process {pid} is none: {line[:80]!r}")
            start, end, ino = int(match[1], 16), int(match[2], 16), int(match[7])
            if ino >= 1 << 64:
                raise self.error(f"line {number} of the mappings of process {pid} has an inode of more than 64 bits")
            if not last <= start < end:
                raise self.error(f"line {number} of the mappings of process {pid} is not behind the one before it")
            last = end
            device = int(match[5], 16) << _MINOR_BITS | int(match[6], 16)
            ranges.append(Range(start, end, int(match[4], 16) >> 12, device, ino, match[3] == "s"))
        self.ranges += len(ranges)
        if self.ranges > _MOST_RANGES:
            raise self.error(f"more than {_MOST_RANGES} mappings cannot be right")

    def _text(self, record: dict[str, Any], name: str) -> str:
        value = record.get(name, "")
        if not isinstance(value, str):
            raise self.error(f"expected text as {name}")
        return value.encode("utf-8", "replace").decode()  # without the lone surrogates that stand for bytes of no text

    def _number(self, value: Any, what: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _MOST_ID:
            raise self.error(f"expected a number as {what}")
        return value
