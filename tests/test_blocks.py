"""Blocks joined to pages: which allocations take what pages of another time gave up."""

from __future__ import annotations

from replay.blocks import BlockRow, reuses


def alloc(row: int, block: int, n: int, file: int = -1, index: int = -1, device: str = "8:1") -> BlockRow:
    return BlockRow(row, False, device, block, n, file, index)


def free(row: int, block: int, n: int, file: int = -1, index: int = -1, device: str = "8:1") -> BlockRow:
    return BlockRow(row, True, device, block, n, file, index)


def test_freed_blocks_are_reused_by_the_next_allocation_only() -> None:
    rows = [alloc(0, 100, 8, 1, 40), free(1, 102, 4), alloc(2, 100, 16, 2, 0), alloc(3, 100, 16, 3, 0)]
    assert reuses(rows).tolist() == [[2, 1, 42, 4]]


def test_a_free_that_names_its_pages_needs_no_allocation_before() -> None:
    assert reuses([free(5, 7, 2, 4, 9), alloc(6, 8, 1, 0, 0)]).tolist() == [[6, 4, 10, 1]]


def test_pieces_of_several_files_and_what_is_left_over() -> None:
    rows = [free(0, 10, 2, 1, 0), free(1, 12, 2, 2, 5), alloc(2, 11, 2, 3, 0), alloc(3, 10, 4, 3, 2)]
    assert reuses(rows).tolist() == [[2, 1, 1, 1], [2, 2, 5, 1], [3, 1, 0, 1], [3, 2, 6, 1]]


def test_devices_have_blocks_of_their_own() -> None:
    assert reuses([free(0, 1, 1, 0, 0), alloc(1, 1, 1, 0, 0, "8:2")]).tolist() == []


def test_blocks_of_no_known_page_are_nobodys() -> None:
    assert reuses([free(0, 1, 1), alloc(1, 1, 1)]).tolist() == []
    assert reuses([]).shape == (0, 4)
