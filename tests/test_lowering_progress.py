"""Pin calls and releases take time: what another task's events meet in the middle of one."""

from __future__ import annotations

import pyarrow.compute as pc
from builders.raw import BASE, Record, added, deleted, dirtied, lower, mmap, pinned, registered, released, rows, throttled, writeback

from replay.columns import load
from replay.outcomes import RunName
from replay.params import parse_params
from replay.policies import find_policy
from replay.runs import replay_tables

FILE = "254:16:13"
UMEM = 0xFF2F01DEC17A5980
START, END = registered(10, BASE, 8, UMEM)[0], registered(10, BASE, 8, UMEM)[-1]


def unpins(npages: int) -> Record:
    return "unpin_user_page_range_dirty_lock", 10, {"page": 1, "npages": npages, "make_dirty": 1}


def held(records: list[Record], tid: int = 11) -> list[tuple[int, list[int]]]:
    """For each event of the other task (page by page) the pages that pins hold when it comes, by the order of rows alone."""
    canonical, _ = lower([mmap(10, BASE, 16), added(10, 0), *records])
    pages: dict[int, set[int]] = {}
    seen = []
    for op, by, pin, index, npages in rows(canonical, "events", "op", "tid", "pin", "index", "npages"):
        if op == "pin" and pin is not None:
            pages[pin] = set(range(index, index + npages))
        elif op == "unpin":
            pages[pin] -= set(range(index, index + npages))
        elif by == tid:
            seen.append((index, sorted(set().union(*pages.values()))))
    return seen


def test_a_writeback_in_the_middle_of_a_pin_call_meets_the_pages_before_the_one_being_dirtied() -> None:
    call, done = pinned(10, BASE, 8)
    records = [START, call, dirtied(10, 0), throttled(10), writeback("start", 11, 0), dirtied(10, 5), throttled(10)]
    records += [writeback("start", 11, 2), done, END]
    assert held([*records, writeback("start", 11, 7)]) == [(0, []), (2, [0, 1, 2, 3, 4]), (7, list(range(8)))]
    canonical, counters = lower([mmap(10, BASE, 16), added(10, 0), *records])
    assert rows(canonical, "pins", "mr", "tid", "index", "npages", "ts_pin", "ts_unpin") == [
        (0, 10, 0, 5, 9000, None),
        (0, 10, 5, 3, 10000, None),
    ]
    assert rows(canonical, "mrs", "index", "npages") == [(0, 8)]
    assert counters == {}


def test_faults_show_the_progress_of_a_call_too() -> None:
    call, done = pinned(10, BASE, 8)
    fault: Record = ("mm_filemap_fault", 10, {"i_ino": 13, "index": 3, "s_dev": 254 << 20 | 16})
    assert held([START, call, fault, writeback("start", 11, 0), done, END]) == [(0, [0, 1, 2])]


def test_folios_that_iomap_goes_over_show_the_progress_of_a_call() -> None:
    call, done = pinned(10, BASE, 8)
    walk: Record = ("iomap_iter", 10, {"dev": 254 << 20 | 16, "ino": 13, "pos": 4 * 4096, "length": 4 * 4096, "flags": 9})
    assert held([START, call, walk, writeback("start", 11, 0), done, END]) == [(0, [0, 1, 2, 3])]


def test_a_call_that_waits_in_a_fault_has_pinned_the_pages_before_it() -> None:
    """Pages that are mapped and dirty already are pinned without an event. Which one faults, its dirtying tells afterwards."""
    call, done = pinned(10, BASE, 8)
    waits = [writeback("start", 11, 1), writeback("start", 11, 6), dirtied(10, 5), writeback("start", 11, 6), done, END]
    assert held([START, call, *waits]) == [(1, [0, 1, 2, 3, 4]), (6, [0, 1, 2, 3, 4]), (6, list(range(8)))]
    assert held([START, call, dirtied(10, 2), *waits])[:2] == [(1, [0, 1, 2, 3, 4]), (6, [0, 1, 2, 3, 4])]
    canonical, counters = lower([mmap(10, BASE, 16), added(10, 0), START, call, dirtied(10, 2), *waits])
    assert rows(canonical, "pins", "mr", "index", "npages", "ts_pin") == [(0, 0, 2, 5000), (0, 2, 3, 5000), (0, 5, 3, 8000)]
    assert rows(canonical, "events", "pin", "index", "npages", "result", op="pin") == [(0, 0, 2, 2), (1, 2, 3, 3), (2, 5, 3, 3)]
    assert rows(canonical, "mrs", "index", "npages") == [(0, 8)]
    assert counters == {}


def test_a_call_that_dirties_no_further_page_had_pinned_what_it_returns() -> None:
    call, done = pinned(10, BASE, 8, ret=6)
    assert held([START, call, dirtied(10, 2), writeback("start", 11, 1), done, END]) == [(1, [0, 1, 2, 3, 4, 5])]
    assert held([START, call, writeback("start", 11, 1), done, END]) == [(1, [0, 1, 2, 3, 4, 5])]


def test_a_call_that_waits_at_a_page_does_not_hold_it() -> None:
    """Known where a fault is recorded before it dirties its page, and where its task is throttled behind that."""
    call, done = pinned(10, BASE, 8)
    fault: Record = ("mm_filemap_fault", 10, {"i_ino": 13, "index": 3, "s_dev": 254 << 20 | 16})
    assert held([START, call, fault, writeback("start", 11, 1), dirtied(10, 3), dirtied(10, 7), done, END]) == [(1, [0, 1, 2])]
    waits = [dirtied(10, 3), throttled(10), throttled(12), writeback("start", 11, 1)]
    assert held([START, call, *waits, dirtied(10, 7), writeback("start", 11, 3), done, END]) == [(1, [0, 1, 2]), (3, list(range(8)))]


def test_a_page_that_is_faulted_again_was_not_pinned() -> None:
    """It was written back before its fault was over."""
    call, done = pinned(10, BASE, 8)
    assert held([START, call, dirtied(10, 2), writeback("start", 11, 2), dirtied(10, 2), done, END]) == [(2, [0, 1])]


def test_a_call_that_fails_or_never_returns_holds_no_more_than_it_showed() -> None:
    call, failed = pinned(10, BASE, 8, ret=-14)
    end: Record = ("ib_umem_get_ret", 10, {"umem": (1 << 64) - 14})
    middle = [dirtied(10, 2), writeback("start", 11, 1)]
    assert held([START, call, *middle, failed, end, writeback("start", 11, 1)]) == [(1, [0, 1]), (1, [])]
    assert held([call, writeback("start", 11, 1), failed, writeback("start", 11, 1)]) == [(1, []), (1, [])]
    assert held([START, call, *middle]) == [(1, [0, 1])]
    assert held([START, call, *middle, call, writeback("start", 11, 1), failed]) == [(1, [0, 1]), (1, [])]


def test_events_on_other_files_and_outside_of_the_range_show_nothing() -> None:
    call, done = pinned(10, BASE + 4096, 4)
    other = [throttled(10), dirtied(10, 3, ino=99), dirtied(10, 9), dirtied(10, 0), dirtied(12, 3)]
    assert held([START, call, *other, writeback("start", 11, 1), done, END]) == [(1, [])]
    canonical, _ = lower([mmap(10, BASE, 16), added(10, 0), START, call, dirtied(10, 3), writeback("start", 11, 1, ino=99), done, END])
    assert rows(canonical, "pins", "index", "npages") == [(1, 4)]


def test_a_call_that_pins_less_than_it_seemed_to_or_fails_holds_what_it_returned() -> None:
    middle = [dirtied(10, 5), throttled(10), writeback("start", 11, 2)]
    for returned, left in ((8, [0, 1, 2, 3, 4, 5, 6, 7]), (3, [0, 1, 2]), (-14, [])):
        end = END if returned > 0 else ("ib_umem_get_ret", 10, {"umem": (1 << 64) - 14})
        call, done = pinned(10, BASE, 8, ret=returned)
        alone = held([call, *middle, done, writeback("start", 11, 2)])
        assert alone == [(2, [0, 1, 2, 3, 4]), (2, left)], returned
        unpinned = [("unpin_user_pages", 10, {"pages": 1, "npages": max(returned, 0)}), writeback("start", 11, 2)]
        assert held([call, *middle, done, *unpinned])[-1] == (2, []), returned
        region = held([START, call, *middle, done, end, writeback("start", 11, 2), released(10, UMEM), writeback("start", 11, 2)])
        assert region == [(2, [0, 1, 2, 3, 4]), (2, left), (2, [])], returned


def test_a_page_that_leaves_the_cache_in_the_middle_of_a_call_was_pinned() -> None:
    call, done = pinned(10, BASE, 8)
    assert held([START, call, dirtied(10, 5), throttled(10), deleted(11, 2), done, END]) == [(2, [0, 1, 2, 3, 4])]


def region() -> list[Record]:
    """Two pins of four pages each."""
    return [START, *pinned(10, BASE, 4), *pinned(10, BASE + 4 * 4096, 4), END, released(10, UMEM)]


def test_a_release_lets_go_of_one_page_after_the_other() -> None:
    records = [*region(), writeback("start", 11, 0), unpins(1), writeback("start", 11, 0), unpins(1), writeback("start", 11, 2)]
    records += [dirtied(10, 1), dirtied(10, 2), writeback("start", 11, 3), unpins(4), unpins(2), writeback("start", 11, 7)]
    found = held([*records, dirtied(10, 7), writeback("start", 11, 7)])
    everything = list(range(8))
    assert found == [(0, everything), (0, everything), (2, everything[1:]), (3, everything[3:]), (7, everything[6:]), (7, [])]


def test_rows_of_a_release_stand_before_the_pages_that_it_dirties() -> None:
    records = [*region(), writeback("start", 11, 0), unpins(1), dirtied(10, 0), unpins(7), dirtied(10, 5)]
    canonical, _ = lower([mmap(10, BASE, 16), added(10, 0), *records])
    seen = rows(canonical, "events", "op", "index", "npages", "mr")
    assert seen[seen.index(("mr_dereg", 0, 8, 0)) + 1 :] == [
        ("wb_start", 0, 1, None),
        ("unpin", 0, 4, 0),
        ("dirty", 0, 1, 0),
        ("unpin", 4, 4, 0),
        ("dirty", 5, 1, 0),
    ]
    assert rows(canonical, "pins", "index", "ts_pin", "ts_unpin") == [(0, 4000, 11000), (4, 6000, 13000)]


def test_without_signs_of_progress_a_release_is_over_at_once() -> None:
    assert held([*region(), writeback("start", 11, 0), dirtied(11, 3)]) == [(0, []), (3, [])]
    assert held([*region(), writeback("start", 11, 0), *pinned(10, BASE, 1, flags=1), writeback("start", 11, 4)]) == [(0, []), (4, [0])]


def test_the_rest_of_a_disturbed_release_ends_with_what_its_task_does_next() -> None:
    began = [*region(), writeback("start", 11, 0), unpins(1), unpins(1), writeback("start", 11, 0), unpins(1)]
    assert held(began) == [(0, list(range(8))), (0, list(range(1, 8)))]
    assert held([*began, *pinned(10, BASE + 4096, 1, flags=1), writeback("start", 11, 0)])[-1] == (0, [1])


def test_the_replay_holds_what_a_release_has_not_let_go_of() -> None:
    records = [*region(), writeback("start", 11, 2), unpins(3), unpins(5), writeback("start", 11, 2), writeback("start", 11, 3)]
    canonical, _ = lower([mmap(10, BASE, 16), added(10, 0), *records, dirtied(10, 3), dirtied(10, 7)])
    tables = replay_tables(load(canonical.tables), find_policy("none"), parse_params({}), RunName("r", "none", "t"))
    found = [(row["class"], row["index"], row["npages"]) for row in tables["conflicts"].to_pylist()]
    # Pages 2 and 3 were written while pinned, so that dropping their pins dirties them behind the kernel's back.
    assert [row for row in found if row[0] == "wb_while_pinned"] == [("wb_while_pinned", 2, 1), ("wb_while_pinned", 3, 1)]
    assert [row for row in found if row[0] == "dirty_after_clean"] == [("dirty_after_clean", 2, 1), ("dirty_after_clean", 3, 1)]
    assert canonical.tables["events"].filter(pc.equal(canonical.tables["events"]["op"], "unpin"))["npages"].to_pylist() == [3, 1, 4]


def test_a_record_that_counts_only_for_want_of_better_ones_does_not_take_the_pins_with_it() -> None:
    call, done = pinned(10, BASE, 8)
    weak: Record = ("iomap_writeback_folio", 11, {"dev": 254 << 20 | 16, "ino": 13, "offset": 0, "length": 4096})
    records = [mmap(10, BASE, 16), added(10, 0), START, call, dirtied(10, 5), weak, writeback("start", 11, 0), done, END]
    canonical, _ = lower(records)
    assert rows(canonical, "events", "index", "npages", op="pin") == [(0, 5), (5, 3)]
    assert rows(canonical, "events", "index", op="wb_start") == [(0,)]
