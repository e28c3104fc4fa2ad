"""Rows of the in-order pass, put aside until the whole trace is known: packed in memory, and on disk once they are many."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import numpy as np

from replay._ext.packing import Packer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from replay._ext.state import State

# struct Patch of _ext/rows.pxd.
PATCH = np.dtype([("row", "i8"), ("value", "i8"), ("column", "i8")])
# What may stay in memory: about 50 million rows of a usual trace.
MEMORY_BYTES = 512 << 20


@dataclass(frozen=True, slots=True)
class Chunk:
    """Where a chunk lies in the file, if not in memory, and what it holds."""

    first_row: int
    rows: int
    offset: int
    packed_bytes: int
    patch_bytes: int


@dataclass(slots=True)
class Spill:
    """Chunks of rows. Patches about rows of earlier chunks are few, since operations are short: they stay in memory."""

    folder: Path | None = None
    rows: int = 0
    chunks: list[Chunk] = field(default_factory=list)
    held: list[bytes] = field(default_factory=list)
    late: list[NDArray[Any]] = field(default_factory=list)
    packer: Packer = field(default_factory=Packer)
    file: Any = None
    written_bytes: int = 0

    def take(self, state: State) -> None:
        """Put the rows that the packer holds aside as one chunk, and before them, where numbers are aligned, the patches about them."""
        count, packed = self.packer.rows, self.packer.take()
        patches = np.frombuffer(state.take_patches(), PATCH)
        own = patches["row"] >= self.rows
        self.late.append(patches[~own])
        chunk = _in_order(patches[own], self.rows).tobytes() + packed
        self.chunks.append(Chunk(self.rows, count, self.written_bytes, len(packed), len(chunk) - len(packed)))
        self.rows += count
        if self.file is None and sum(map(len, self.held)) + len(chunk) > MEMORY_BYTES:
            self.file = TemporaryFile(dir=self.folder)  # noqa: SIM115 - lives as long as the spill
        if self.file is None:
            self.held.append(chunk)
        else:
            self.file.write(chunk)
            self.written_bytes += len(chunk)

    def finish(self) -> None:
        """No more rows come: put the late patches in order, for chunks to be read in any thread."""
        self.late = [_in_order(np.concatenate([np.empty(0, PATCH), *self.late]), 0)]
        if self.file is not None:
            self.file.flush()

    def chunk(self, number: int) -> tuple[memoryview, NDArray[np.int64]]:
        """The packed rows of a chunk, and patches of them in order: the place of the row in the chunk, the value, the column."""
        place = self.chunks[number]
        size = place.packed_bytes + place.patch_bytes
        chunk = self.held[number] if number < len(self.held) else os.pread(self.file.fileno(), size, place.offset)
        patches = np.frombuffer(chunk, PATCH, place.patch_bytes // PATCH.itemsize)
        (late,) = self.late
        low, high = np.searchsorted(late["row"], (place.first_row, place.first_row + place.rows))
        if low < high:
            patches = _in_order(np.concatenate([patches, _in_order(late[low:high], place.first_row)]), 0)
        return memoryview(chunk)[place.patch_bytes :], patches.view(np.int64).reshape(-1, 3)

    def close(self) -> None:
        """Remove the file."""
        if self.file is not None:
            self.file.close()


def _in_order(patches: NDArray[Any], first_row: int) -> NDArray[Any]:
    """Patches by row, those of a row in the order they came; rows count from this one on."""
    ordered = patches[np.argsort(patches["row"], kind="stable")]
    ordered["row"] -= first_row
    return ordered
