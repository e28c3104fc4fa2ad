"""Numbering of touched pages, against sets."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from replay.ingest.slots import INDEX_END, SlotMap, number_slots

RANGES = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([0, 5, 4090, 1 << 40, INDEX_END - 40]), st.integers(0, 20), st.integers(1, 9)), max_size=30
)


def numbered(ranges: list[tuple[int, int, int]]) -> SlotMap:
    columns = np.array(ranges, np.int64).reshape(-1, 3).T.copy()
    return number_slots(*columns)


def test_slots_are_contiguous_per_file_and_in_index_order() -> None:
    slots = numbered([(1, 7, 2), (0, 9, 1), (0, 4, 1), (1, 5, 3), (0, 5, 1)])
    assert (slots.file_id.tolist(), slots.index.tolist(), slots.npages.tolist(), slots.slot.tolist()) == (
        [0, 0, 1],
        [4, 9, 5],
        [2, 1, 4],
        [0, 2, 3],
    )
    assert [part.tolist() for part in slots.of_files(3)] == [[0, 3, 7], [3, 4, 0]]


def test_ranges_longer_than_a_chunk_of_the_bitmap_join_the_others() -> None:
    slots = numbered([(0, 4000, 200), (0, 8191, 2), (0, 4200, 5000), (0, 4200, 1), (1, 64, 64), (1, 0, 64), (1, 129, 4096)])
    assert (slots.file_id.tolist(), slots.index.tolist(), slots.npages.tolist()) == ([0, 1, 1], [4000, 0, 129], [5200, 128, 4096])


def test_range_covers_the_touched_pages_inside_of_it() -> None:
    slots = numbered([(0, 4, 2), (0, 9, 1), (1, 5, 4)])
    file, begin, end = np.array([[0, 0, 20], [0, 5, 9], [0, 6, 9], [1, 8, INDEX_END], [2, 0, 9], [0, 10, 12]], np.int64).T.copy()
    slot, nslots = slots.locate(file, begin, end)
    assert (slot.tolist(), nslots.tolist()) == ([0, 1, -1, 6, -1, -1], [3, 1, 0, 1, 0, 0])


def test_nothing_touched() -> None:
    slots = numbered([])
    assert slots.total == 0
    assert slots.locate(np.zeros(1, np.int64), np.zeros(1, np.int64), np.ones(1, np.int64))[1].tolist() == [0]


@given(RANGES)
def test_numbering_is_that_of_the_sorted_set_of_pages(drawn: list[tuple[int, int, int, int]]) -> None:
    ranges = [(file, base + offset, npages) for file, base, offset, npages in drawn]
    pages = sorted({(file, page) for file, begin, npages in ranges for page in range(begin, begin + npages)})
    slots = numbered(ranges)
    assert slots.total == len(pages)
    if pages:
        file, index = np.array(pages, np.int64).T.copy()
        assert slots.rank(file, index).tolist() == list(range(len(pages)))
        for file_id, begin, npages in ranges:
            inside = [at for at, page in enumerate(pages) if page[0] == file_id and begin <= page[1] < begin + npages]
            slot, nslots = slots.locate(np.array([file_id]), np.array([begin]), np.array([begin + npages]))
            assert (slot[0], nslots[0]) == (inside[0], len(inside))
