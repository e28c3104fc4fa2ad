"""Rows that wait packed for the end of the trace."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from builders.raw import BASE, added, batch, deleted, dirtied, mmap, registered, released, remote, writeback
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from replay._ext.packing import Packer, unpack
from replay.ingest.losses import Losses
from replay.ingest.lowering import Lowering
from replay.ingest.records import TraceInfo
from replay.schema import OPS

# struct Row of _ext/rows.pxd.
ROW = np.dtype(
    [(name, "i8") for name in ("seq", "ts", "index", "npages", "value")]
    + [(name, "i4") for name in ("tid", "file", "mr", "pin")]
    + [("cpu", "i2"), ("flags", "u2")]
    + [(name, "u1") for name in ("op", "source", "confidence", "touches")]
)
INDEXES = st.sampled_from([0, 1, 7, 127, 128, (1 << 51) - 1])
RECORDS = st.lists(
    st.one_of(
        st.builds(added, st.integers(1, 3), INDEXES),
        st.builds(deleted, st.integers(1, 3), INDEXES),
        st.builds(dirtied, st.sampled_from([1, (1 << 31) - 1]), INDEXES),
        st.builds(writeback, st.just("start"), st.integers(1, 3), INDEXES),
        st.builds(remote, st.integers(BASE - 5, BASE + 9000), st.integers(0, 1 << 40)),
    ),
    max_size=40,
)


def packer_of(records: list[tuple[str, int, dict[str, int]]]) -> Packer:
    lowering = Lowering(TraceInfo("test.dat", "test", "mono", None, 1), Losses())
    lowering.add(batch([mmap(1, BASE, 4), *registered(1, BASE, 2, 0xFF00), *records, released(1, 0xFF00)]))
    return lowering.spill.packer


def unpacked(packed: bytes, rows: int) -> NDArray[Any]:
    return np.frombuffer(unpack(packed, rows), ROW)


@given(RECORDS)
@settings(deadline=None)
def test_rows_come_back(records: list[tuple[str, int, dict[str, int]]]) -> None:
    packer = packer_of(records)
    rows = packer.rows
    columns = unpacked(packer.take(), rows)
    seq = columns["seq"].tolist()
    assert seq == sorted(seq)
    assert columns["ts"].tolist() == [1000 * number for number in seq]
    told = {("dirty", "index"), ("cache_add", "index"), ("cache_add", "pfn")}
    for place, (event, tid, fields) in enumerate(records, 5):
        for at in np.flatnonzero(columns["seq"] == place):
            op = OPS[columns["op"][at]] if columns["op"][at] < len(OPS) else ""
            assert columns["tid"][at] == tid
            assert columns["cpu"][at] == tid % 2
            if (op, "index") in told:
                assert columns["index"][at] == fields["index"]
            if (op, "pfn") in told:
                assert columns["value"][at] == fields["pfn"]
            if op.startswith("remote") and columns["pin"][at] < 0:
                assert columns["value"][at] == fields["length"], event


def test_rows_that_end_too_early_are_an_error() -> None:
    packer = packer_of([added(1, 200), dirtied(2, 200)])
    rows, packed = packer.rows, packer.take()
    for cut in range(len(packed)):
        with pytest.raises(ValueError, match="end too early"):
            unpacked(packed[:cut], rows)
    assert packer.rows == 0
    assert packer.take() == b""


def test_patches_of_a_chunk_are_aligned() -> None:
    for more in range(8):
        lowering = Lowering(TraceInfo("test.dat", "test", "mono", None, 1), Losses())
        lowering.add(batch([mmap(1, BASE + 4096 * more, 4), *(dirtied(2, 1 << 7 * n) for n in range(more))]))
        lowering.finish()
        packed, patches = lowering.spill.chunk(0)
        assert patches.flags.aligned
        assert len(patches) == 2
        assert unpacked(packed, 1 + more)["op"][0] == OPS.index("mmap")
