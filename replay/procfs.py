"""What /proc and rdma tell of the system before a recording: mappings of running processes, mounts, memory regions."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from replay.statefile import Process, SystemState

PROC = Path("/proc")
# What a process that pins memory for long has open.
_PINNING = re.compile(r"/dev/infiniband/|/dev/vfio/|/dev/iommu|anon_inode:\[io_uring\]")
# A shared mapping of a file that is not shared memory: those have devices without a major number.
_SHARED_FILE = re.compile(r"^\S+ ..[-x]s \S+ (?!00:)\S+ [1-9]", re.MULTILINE)
# Who knows these may write into the region.
_KEYS = frozenset(("lkey", "rkey"))
_MOST_MAPS_BYTES = 32 << 20
_RDMA_SECONDS = 20


def take_snapshot(everything: bool, pid: int | None = None, proc: Path = PROC) -> SystemState:
    """State of the system now: processes that pin, those that share file mappings if `everything` is wanted, and process `pid`."""
    system = os.uname()
    state = SystemState(uname=f"{system.sysname} {system.nodename} {system.release} {system.machine}")
    state.mountinfo = _read(proc / "self" / "mountinfo")
    state.processes, state.skipped = _processes(everything, pid, proc)
    return state


def memory_regions() -> list[dict[str, Any]] | None:
    """RDMA's memory regions that there are, None where iproute2's rdma cannot tell."""
    if shutil.which("rdma") is None:
        return None
    try:
        done = subprocess.run(["rdma", "-j", "res", "show", "mr"], capture_output=True, timeout=_RDMA_SECONDS, check=True)
        regions = json.loads(done.stdout or b"[]")
    except (subprocess.SubprocessError, ValueError):
        return None
    if not isinstance(regions, list):
        return None
    return [{name: value for name, value in region.items() if name not in _KEYS} for region in regions if isinstance(region, dict)]


def _processes(everything: bool, wanted: int | None, proc: Path) -> tuple[list[Process], int]:
    """Those that hold pins first, as far as there is room."""
    found: list[tuple[bool, Process]] = []
    for pid in sorted(int(entry.name) for entry in os.scandir(proc) if entry.name.isdigit()):
        folder = proc / str(pid)
        maps = _read(folder / "maps")
        if not maps or pid == os.getpid():
            continue  # a kernel thread, gone, or us
        pins = pid == wanted or _pins(folder)
        if pins or (everything and _SHARED_FILE.search(maps)):
            found.append((not pins, Process(pid, _read(folder / "comm").rstrip("\n"), _threads(folder), maps)))
    found.sort(key=lambda item: item[0])
    return _fitting(process for _, process in found)


def _fitting(processes: Iterable[Process]) -> tuple[list[Process], int]:
    kept, skipped, left = [], 0, _MOST_MAPS_BYTES
    for process in processes:
        if len(process.maps) > left:
            skipped += 1
            continue
        left -= len(process.maps)
        kept.append(process)
    return sorted(kept, key=lambda process: process.pid), skipped


def _pins(folder: Path) -> bool:
    try:
        return any(_PINNING.search(os.readlink(entry.path)) for entry in os.scandir(folder / "fd"))
    except OSError:
        return False  # it has ended, or closed one meanwhile


def _threads(folder: Path) -> list[int]:
    try:
        return sorted(int(entry.name) for entry in os.scandir(folder / "task"))
    except OSError:
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
