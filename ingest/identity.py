"""Which file is meant: joins the identities that different events give to the same file, over the whole trace.

filemap and file system events tell (device, inode). writeback events tell the backing device's name and the inode; the name
is the disk's, so it is the file system's device only without partitions and device mapper. Probes may tell the inode alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from replay._ext.settling import Settling
from replay.schema import ID_SOURCES

if TYPE_CHECKING:
    from numpy.typing import NDArray

# struct FileKey of _ext/state.pxd.
KEY = np.dtype(
    [
        ("place", "i8"),
        ("ino", "u8"),
        ("kind", "u1"),
        ("direct", "u1"),
        ("dax", "u1"),
        ("before", "u1"),
        ("older", "i4"),
        ("generation", "u8"),
    ]
)
DEVICE, BACKING, INODE = range(3)
# Order of the enum in _ext/addresses.pxd; "key" is replaced by the grade of the key's own kind.
SOURCES = ("key", *ID_SOURCES)

_MINOR_BITS = 20  # dev_t inside the kernel (include/linux/kdev_t.h)
_DEVICE_NAME = re.compile(r"(\d+):(\d+)")


@dataclass(slots=True)
class Identities:
    """The file of each key, or -1; how it was found and how sure that is; and keys that may be any of several files.

    `successors` are the later files of the same inode number, in order; `generations` tells the inode's, by file.
    """

    names: list[str] = field(default_factory=list)
    file: list[int] = field(default_factory=list)
    source: list[int] = field(default_factory=list)
    confidence: list[float] = field(default_factory=list)
    ambiguous: dict[int, list[int]] = field(default_factory=dict)
    dax: set[int] = field(default_factory=set)
    successors: dict[int, list[int]] = field(default_factory=dict)
    generations: dict[int, int] = field(default_factory=dict)

    def grade(self, key: int, file: int, source: str, confidence: float) -> None:
        self.file[key], self.source[key], self.confidence[key] = file, SOURCES.index(source), confidence


@dataclass(slots=True)
class _Numbers:
    names: dict[str, int] = field(default_factory=dict)

    def of(self, name: str) -> int:
        return self.names.setdefault(name, len(self.names))


def device_name(device: int) -> str:
    return f"{device >> _MINOR_BITS}:{device & ((1 << _MINOR_BITS) - 1)}"


def resolve(keys: NDArray[Any], backing_names: list[str]) -> Identities:
    """Grade every key, in three passes: devices, then backing devices, then inodes alone."""
    found = Identities(file=[-1] * len(keys), source=[SOURCES.index("unresolved")] * len(keys), confidence=[0.0] * len(keys))
    numbers = _Numbers()
    rows = [(int(key["kind"]), int(key["place"]), int(key["ino"]), bool(key["direct"])) for key in keys]
    # Of the files that processes had mapped before, those that nothing in the trace is about.
    idle = (keys["before"] != 0) & (keys["direct"] == 0)
    devices = {place for kind, place, _, direct in rows if kind == DEVICE and direct}
    inodes = {ino for kind, _, ino, _ in rows if kind != DEVICE}
    by_inode: dict[int, list[int]] = {}
    listed: set[int] = set()
    inode_device: dict[int, int] = {}
    for key, (kind, place, ino, direct) in enumerate(rows):
        # A mapping alone proves no file: for shared anonymous memory its probe read garbage. A known device or inode does.
        if kind == DEVICE and not idle[key] and (direct or place in devices or ino in inodes):
            first = numbers.of(f"{device_name(place)}:{ino}")
            file = first
            if keys["older"][key] >= 0:
                later = found.successors.setdefault(first, [])
                file = numbers.of(f"{device_name(place)}:{ino}#{len(later) + 2}")
                later.append(file)
            if keys["generation"][key]:
                found.generations[file] = int(keys["generation"][key])
            found.grade(key, file, "direct", 1.0)
            if file == first and file not in listed:
                listed.add(file)
                by_inode.setdefault(ino, []).append(file)
            inode_device[file] = place
    for key, (kind, place, ino, _) in enumerate(rows):
        if kind == BACKING and ino:
            file, confidence = _backed_file(backing_names[place], ino, devices, by_inode, inode_device, numbers)
            found.grade(key, file, "cooccurrence", confidence)
    for key, (kind, _, ino, _) in enumerate(rows):
        file = found.file[key]
        if kind == BACKING and file >= 0 and file not in listed:
            listed.add(file)
            by_inode.setdefault(ino, []).append(file)
    for key, (kind, _, ino, _) in enumerate(rows):
        if kind == INODE:
            candidates = by_inode.get(ino, [])
            if len(candidates) == 1:
                found.grade(key, candidates[0], "cooccurrence", 0.8)
            elif candidates:
                found.ambiguous[key] = candidates
    found.names = list(numbers.names)
    found.dax = {found.file[key] for key in np.flatnonzero(keys["dax"]) if found.file[key] >= 0}
    return found


def _backed_file(
    name: str, ino: int, devices: set[int], by_inode: dict[int, list[int]], inode_device: dict[int, int], numbers: _Numbers
) -> tuple[int, float]:
    """A file by its backing device's name: the same device if that is a file system's, else the only file with this inode."""
    match = _DEVICE_NAME.fullmatch(name)
    device = int(match[1]) << _MINOR_BITS | int(match[2]) if match else -1
    same = f"{name}:{ino}"
    if same in numbers.names:
        return numbers.of(same), 0.95
    candidates = by_inode.get(ino, [])
    # The block device's own page cache: its inode lives in the bdev pseudo file system (major 0) and is numbered like the device.
    if match and len(candidates) == 1 and ino >> _MINOR_BITS == int(match[1]) and inode_device[candidates[0]] >> _MINOR_BITS == 0:
        return candidates[0], 0.9
    if device in devices and ino >> _MINOR_BITS != int(name.partition(":")[0]):
        return numbers.of(same), 0.7
    if len(candidates) == 1 and device not in devices:
        return candidates[0], 0.8
    return numbers.of(f"bdi:{name}:{ino}"), 0.5


@dataclass(frozen=True, slots=True)
class Graded:
    """Identities by number of the key, with one more entry for no key: file, source and confidence in per cent.

    Keys that `wander` mean one file here and another there, as their rows are settled in order.
    """

    file: NDArray[np.int64]
    source: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
    wander: NDArray[np.bool_]
    group_of_key: NDArray[np.int32]
    group_of_file: NDArray[np.int32]
    first_of_file: NDArray[np.int32]
    by_device: NDArray[np.uint8]

    @classmethod
    def of(cls, found: Identities, kinds: NDArray[np.uint8]) -> Graded:
        """`kinds` are those of the keys."""
        group_of_key = np.full(len(found.file) + 1, -1, np.int32)
        group_of_file = np.full(len(found.names) + 1, -1, np.int32)
        first_of_file = np.full(len(found.names) + 1, -1, np.int32)
        for key, candidates in found.ambiguous.items():
            group_of_key[key] = group_of_file[candidates] = key
        for first, later in found.successors.items():
            first_of_file[[first, *later]] = first
        file = np.array([*found.file, -1], np.int64)
        by_device = np.append(kinds == DEVICE, True)
        sure = np.array([*(round(100 * confidence) for confidence in found.confidence), 0], np.uint8)
        wander = (group_of_key >= 0) | ((first_of_file[file] >= 0) & ~by_device)
        source = np.array([*found.source, 0], np.uint8)
        return cls(file, source, sure, wander, group_of_key, group_of_file, first_of_file, by_device.view(np.uint8))

    def settling(self) -> Settling:
        """To settle the rows of a trace from the first to the last."""
        latest = np.arange(len(self.first_of_file))
        return Settling(self.group_of_key, self.group_of_file, self.first_of_file, self.by_device, latest)
