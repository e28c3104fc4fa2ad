"""Rows of the in-order pass, put aside until the whole trace is known: packed in memory, and on disk once they are many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import numpy as np

from replay._ext.packing import Packer, unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from replay._ext.state import State

    Rows = dict[str, NDArray[Any]]

# Fields of struct Row, and struct Patch, of _ext/rows.pxd.
FIELDS = {
    **dict.fromkeys(("seq", "ts", "index", "npages", "value"), np.int64),
    **dict.fromkeys(("tid", "file", "mr", "pin", "cpu"), np.int32),
    "flags": np.uint16,
    **dict.fromkeys(("op", "source", "confidence", "touches"), np.uint8),
}
PATCH = np.dtype([("row", "i8"), ("value", "i8"), ("column", "i8")])
# What may stay in memory: about 50 million rows of a usual trace.
MEMORY_BYTES = 512 << 20


@dataclass(slots=True)
class Spill:
    """Chunks of rows. Patches about rows of earlier chunks are few, since operations are short: they stay in memory."""

    folder: Path | None = None
    rows: int = 0
    sizes: list[tuple[int, int, int]] = field(default_factory=list)
    held: list[bytes] = field(default_factory=list)
    late: list[NDArray[Any]] = field(default_factory=list)
    packer: Packer = field(default_factory=Packer)
    file: Any = None

    def take(self, state: State) -> None:
        """Put the rows that the packer holds aside as one chunk, and behind them the patches that are about them."""
        count, packed = self.packer.rows, self.packer.take()
        patches = np.frombuffer(state.take_patches(), PATCH)
        own = patches["row"] >= self.rows
        chunk = packed + patches[own].tobytes()
        self.sizes.append((count, len(packed), len(chunk) - len(packed)))
        self.late.append(patches[~own])
        self.rows += count
        if self.file is None and sum(map(len, self.held)) + len(chunk) > MEMORY_BYTES:
            self.file = TemporaryFile(dir=self.folder)  # noqa: SIM115 - lives as long as the spill
        if self.file is None:
            self.held.append(chunk)
        else:
            self.file.write(chunk)

    def chunks(self) -> Iterator[tuple[Rows, NDArray[Any]]]:
        """Rows by column and their patches, chunk by chunk; patches count from the chunk's first row."""
        late = np.concatenate(self.late) if self.late else np.empty(0, PATCH)
        late = late[np.argsort(late["row"], kind="stable")]
        if self.file is not None:
            self.file.seek(0)
        first = 0
        for number, (count, packed_bytes, patch_bytes) in enumerate(self.sizes):
            chunk = self.held[number] if number < len(self.held) else self.file.read(packed_bytes + patch_bytes)
            rows: Rows = {name: np.empty(count, type_) for name, type_ in FIELDS.items()}
            unpack(memoryview(chunk)[:packed_bytes], **rows)
            low, high = np.searchsorted(late["row"], (first, first + count))
            patches = np.concatenate([np.frombuffer(chunk, PATCH, offset=packed_bytes), late[low:high]])
            patches["row"] -= first
            yield rows, patches
            first += count

    def close(self) -> None:
        """Remove the file."""
        if self.file is not None:
            self.file.close()
