"""The compiled merge and gather, called directly: order of calls and sizes of buffers are checked, not assumed."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest
from builders import tracedat as make

from replay._ext import columns
from replay._ext.ringbuffer import ALL_DONE, BATCH_FULL, RingMerge

EVENT = 1301
STREAMS = np.arange(100, 113, dtype=np.int32), np.zeros(13, np.int32)


def merge_of(*, streams: int = 1, need_bytes: int = 12) -> RingMerge:
    merge = RingMerge([4096] * streams, [need_bytes], header_bytes=16, long_bytes=8)
    merge.set_type(EVENT, 0)
    return merge


def page(*entries: bytes, ts: int = 1000) -> memoryview:
    return memoryview(make.page(ts, b"".join(entries)))


def entry(delta: int, n: int) -> bytes:
    return make.data(delta, make.payload(EVENT, 17, struct.pack("<i", n)))


def taken(merge: RingMerge, rows: int) -> tuple[list[int], list[int], list[int]]:
    wide = columns.column_bytes(rows, 8)
    out = np.empty(2 * wide + columns.column_bytes(rows, 4), np.uint8)
    columns.scalars(merge.groups, 0, [(columns.SEQ, 0, 8), (columns.TS, 0, 8), (columns.FIELD, 8, 4)], *STREAMS, out)
    seq, ts, n = out[:wide].view(np.int64), out[wide : 2 * wide].view(np.int64), out[2 * wide :].view(np.int32)
    return seq[:rows].tolist(), ts[:rows].tolist(), n[:rows].tolist()


def test_a_batch_ends_when_full_and_the_next_goes_on() -> None:
    merge = merge_of()
    assert merge.feed(0, page(*(entry(1, n) for n in range(7))))
    assert merge.run(5) == BATCH_FULL
    assert merge.groups.rows() == [(0, 5)]
    assert taken(merge, 5) == ([0, 1, 2, 3, 4], [1001, 1002, 1003, 1004, 1005], [0, 1, 2, 3, 4])
    merge.drop_rows()
    assert merge.run(5) == 0
    assert taken(merge, 2) == ([5, 6], [1006, 1007], [5, 6])
    assert merge.run(5) == ALL_DONE
    assert merge.met(0) == (7, 0, 0, 0, 0)


def test_pages_without_records_ask_for_more() -> None:
    merge = merge_of()
    assert not merge.feed(0, page())
    assert not merge.feed(0, memoryview(b""))
    assert merge.feed(0, page(entry(1, 3)))


def test_a_stream_that_waits_for_the_merge_takes_no_more_pages() -> None:
    merge = merge_of()
    assert merge.feed(0, page(entry(1, 3)))
    with pytest.raises(ValueError, match="still has pages"):
        merge.feed(0, page(entry(1, 5)))


def test_rows_outlive_the_pages_that_their_caller_drops() -> None:
    merge = merge_of()
    for n in range(50):
        merge.feed(0, memoryview(bytearray(page(entry(1, n)))))
        assert merge.run(1000) == 0
    assert taken(merge, 50)[2] == list(range(50))


@pytest.mark.parametrize("seed", range(11))
def test_the_merge_is_that_of_a_plain_one(seed: int) -> None:
    """The oracle picks, record by record, the least time of all heads, the first stream among equals."""
    rng = random.Random(seed)
    streams = rng.choice([1, 2, 3, 7, 13])
    pages: list[list[memoryview]] = []
    heads: list[list[tuple[int, int]]] = []
    for stream in range(streams):
        pages.append([])
        heads.append([])
        for _ in range(rng.randrange(5)):
            ts = at = rng.randrange(40)
            entries = []
            for _ in range(rng.randrange(9)):
                delta, n = rng.randrange(4), rng.randrange(1000)
                at += delta
                entries.append(entry(delta, n))
                heads[stream].append((at, n))
            pages[stream].append(page(*entries, ts=ts))
    expected = []
    while any(heads):
        first = min((s for s in range(streams) if heads[s]), key=lambda s: (heads[s][0][0], s))
        expected.append(heads[first].pop(0))

    merge = merge_of(streams=streams)
    sources = [iter(stream) for stream in pages]
    for stream in range(streams):
        any(merge.feed(stream, segment) for segment in sources[stream])
    while (wanted := merge.run(1 << 20)) != ALL_DONE:
        any(merge.feed(wanted, segment) for segment in sources[wanted])
    count = dict(merge.groups.rows()).get(0, 0)
    _, ts, n = taken(merge, count)
    assert list(zip(ts, n, strict=True)) == expected


def test_numbers_out_of_range_are_refused() -> None:
    merge = merge_of()
    for call in (
        lambda: merge.set_type(EVENT, 1),
        lambda: merge.set_type(1 << 16, 0),
        lambda: merge.feed(1, page()),
        lambda: merge.met(-1),
        lambda: columns.scalars(merge.groups, 1, [], *STREAMS, np.empty(0, np.uint8)),
    ):
        with pytest.raises(IndexError):
            call()
    with pytest.raises(ValueError, match="longer than its header"):
        RingMerge([16], [8], header_bytes=16, long_bytes=8)
    with pytest.raises(ValueError, match="too wide"):
        merge.set_clock([0], mult=1, shift=33, offset=0, samples=[], interpolate=False)
    with pytest.raises(ValueError, match="too wide"):
        merge.set_clock([0], mult=0, shift=0, offset=0, samples=[(0, 0, 1, 64)], interpolate=False)


def test_columns_that_do_not_fit_are_refused() -> None:
    merge = merge_of()
    merge.feed(0, page(*(entry(1, n) for n in range(3))))
    merge.run(10)
    room = np.empty(64, np.uint8)
    fits = (columns.FIELD, 8, 4)
    columns.scalars(merge.groups, 0, [fits], *STREAMS, room)
    for jobs in (
        [fits, fits],
        [(columns.FIELD, 9, 4)],
        [(columns.FIELD, 0xFFFFFFFF, 4)],
        [(columns.FIELD, 8, 3)],
        [(columns.TS, 0, 4)],
        [(columns.CPU, 0, 8)],
        [(9, 0, 8)],
    ):
        with pytest.raises(ValueError, match=r"column|field|buffer"):
            columns.scalars(merge.groups, 0, jobs, *STREAMS, room)
    with pytest.raises(ValueError, match="too small"):
        columns.scalars(merge.groups, 0, [fits], *STREAMS, room[:63])
    for cpus, buffers in ((np.empty(0, np.int32), STREAMS[1]), (STREAMS[0], np.empty(0, np.int32))):
        with pytest.raises(ValueError, match="without a number"):
            columns.scalars(merge.groups, 0, [fits], cpus, buffers, room)
    valid, spent = np.empty(3, np.uint8), np.zeros(3, np.uint32)
    with pytest.raises(ValueError, match="another length"):
        columns.measure(merge.groups, 0, columns.INLINE, 8, 4, 1, True, np.empty(3, np.int32), valid, spent)
    with pytest.raises(ValueError, match="not measured"):
        columns.copy(merge.groups, 0, columns.INLINE, 8, 4, 1, False, np.array([0, 9, 9, 9], np.int32), np.empty(27, np.uint8))
